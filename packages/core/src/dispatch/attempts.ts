import { channels, type ReceiveTrace, type SettleTrace, traced } from '../contract/instrumentation.ts';
import type { MaybePromise } from '../contract/maybe-promise.ts';
import { MelangeError } from '../errors.ts';
import type { Lane } from './lanes.ts';
import type { LoopSettings } from './loop-settings.ts';
import type { Outcome } from './outcome.ts';
import { type ProcessingRules, processMessage } from './process-message.ts';
import { causeOfUnsettled, settle } from './settle.ts';
import type { Work } from './work.ts';

/** Called when an attempt is over; `outcome` is `undefined` when settling the message failed. */
export type AttemptOver = (work: Work, lane: Lane<Work>, outcome: Outcome | undefined) => void;

/** Runs attempts: processes the message, and settles it at the broker. */
export class Attempts {
  readonly #settings: LoopSettings;
  readonly #rules: ProcessingRules;
  readonly #onOver: AttemptOver;

  constructor(settings: LoopSettings, rules: ProcessingRules, onOver: AttemptOver) {
    this.#settings = settings;
    this.#rules = rules;
    this.#onOver = onOver;
  }

  /** Never rejects. Reports the outcome through the callback: a result would cost one more promise per message. */
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
        // The same as `#attempt`, inlined: that saves a promise per message.
        outcome = await processMessage(work, this.#rules);
        const settling = this.#settle(work, lane, outcome);
        if (settling !== undefined) await settling;
      }
    } catch (error) {
      const unsettled = work.settledBy;
      outcome = undefined;
      work.settledBy = undefined;
      this.#settings.report(error, work);
      this.#settings.onOutcome(undefined, work);
      await this.#retryUnsettled(work, unsettled);
    }
    this.#onOver(work, lane, outcome);
  }

  async #attempt(work: Work, lane: Lane<Work>): Promise<Outcome> {
    const outcome = await processMessage(work, this.#rules);
    await this.#settle(work, lane, outcome);
    return outcome;
  }

  /** Settles the message, unless it was given back or is repeated in its lane. */
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
   * The settlement failed. A broker that was disconnected delivers the message again by itself. A delivery that is still
   * open, because its dead-letter queue was deleted for instance, would take up a place for ever: it is retried.
   */
  async #retryUnsettled({ delivery }: Work, unsettled: Outcome | undefined): Promise<void> {
    try {
      await delivery.retry({ delayMs: this.#settings.longestDelayMs, because: causeOfUnsettled(unsettled) });
    } catch (error) {
      if (!MelangeError.is(error, 'DELIVERY_SETTLED')) this.#settings.report(error, undefined);
    }
  }
}
