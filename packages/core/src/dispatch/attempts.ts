import { channels, type ReceiveTrace, type SettleTrace, traced } from '../contract/instrumentation.ts';
import type { MaybePromise } from '../contract/maybe-promise.ts';
import { MelangeError } from '../errors.ts';
import type { Lane } from './lanes.ts';
import type { LoopSettings } from './loop-settings.ts';
import type { Outcome } from './outcome.ts';
import { type ProcessingRules, processMessage } from './process-message.ts';
import { causeOfUntold, settle } from './settle.ts';
import type { Work } from './work.ts';

/** Called when an attempt is over, with `undefined` when it ended in an error of the broker. */
export type AttemptOver = (work: Work, lane: Lane<Work>, outcome: Outcome | undefined) => void;

/** Runs attempts: processes the message, and tells the broker the outcome. */
export class Attempts {
  readonly #settings: LoopSettings;
  readonly #rules: ProcessingRules;
  readonly #onOver: AttemptOver;

  constructor(settings: LoopSettings, rules: ProcessingRules, onOver: AttemptOver) {
    this.#settings = settings;
    this.#rules = rules;
    this.#onOver = onOver;
  }

  /** Never rejects. Calls back instead of answering, which would cost every message a promise more. */
  async run(work: Work, lane: Lane<Work>): Promise<void> {
    let outcome: Outcome | undefined;
    try {
      if (channels.receive.hasSubscribers) {
        const { delivery, attempt: count } = work;
        const { queue } = this.#rules;
        const backend = this.#settings.backend.name;
        const trace: ReceiveTrace = { backend, delivery, queue, message: delivery.message, attempt: count };
        const attempt = () => this.#attempt(work, lane);
        outcome = await traced(channels.receive, trace, attempt);
      } else {
        // As `#attempt` does, without the promise that it would cost every message.
        outcome = await processMessage(work, this.#rules);
        const settling = this.#settle(work, lane, outcome);
        if (settling !== undefined) await settling;
      }
    } catch (error) {
      const untold = work.settledBy;
      outcome = undefined;
      work.settledBy = undefined;
      this.#settings.report(error, work);
      this.#settings.onOutcome(undefined, work);
      await this.#comeAgain(work, untold);
    }
    this.#onOver(work, lane, outcome);
  }

  async #attempt(work: Work, lane: Lane<Work>): Promise<Outcome> {
    const outcome = await processMessage(work, this.#rules);
    await this.#settle(work, lane, outcome);
    return outcome;
  }

  /** Tells the broker, unless the work was given back or is to be repeated in its lane. */
  #settle(work: Work, lane: Lane<Work>, outcome: Outcome): MaybePromise<void> {
    if (work.released || (outcome.kind === 'retry' && lane.key !== undefined)) return;
    work.settledBy = outcome;
    if (!channels.settle.hasSubscribers) return settle(work, outcome);
    const { delivery } = work;
    const trace: SettleTrace = {
      delivery,
      queue: this.#rules.queue,
      message: delivery.message,
      outcome: outcome.kind,
    };
    return traced(channels.settle, trace, async () => settle(work, outcome));
  }

  /**
   * The broker delivers again what could not be settled. A delivery that is still open, because its dead-letter queue is
   * gone, would keep its place for ever: it is sent to come again.
   */
  async #comeAgain({ delivery }: Work, untold: Outcome | undefined): Promise<void> {
    try {
      await delivery.retry({ delayMs: this.#settings.longestDelayMs, because: causeOfUntold(untold) });
    } catch (error) {
      if (!MelangeError.is(error, 'DELIVERY_SETTLED')) this.#settings.report(error, undefined);
    }
  }
}
