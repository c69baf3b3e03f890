import {
  BrokerUnavailableError,
  type Clock,
  type DeadLetterOptions,
  type Logger,
  type MaybePromise,
  MelangeError,
  QueueNotFoundError,
  type RetryOptions,
} from '@melange/core';
import { checkDelayMs, deadLetterCopy } from '@melange/core/adapter';
import { pause } from '../connection.ts';
import type { Fault, Received, SettleDriver } from '../driver.ts';
import { reasonOf } from '../explain.ts';
import type { Troubles } from '../health/troubles.ts';
import { reconnectDelayMs } from '../reconnect-delay.ts';
import { SharedRequests } from '../shared-requests.ts';
import type { Settlements, TakenDelivery } from './delivery.ts';

/** What settling needs. */
export interface SettlerSettings {
  readonly queue: string;
  readonly deadLetterQueue: string | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly troubles: Troubles;
  readonly random: () => number;
  readonly explain: (error: unknown) => Fault;
  /** Longest time to repeat a settlement of a message that is not leased, in ms. */
  readonly settleTimeoutMs: number;
}

/** Giving back is a courtesy: past this many ms the broker takes the messages back by itself. */
const maxGiveBackMs = 2_000;
/** A message whose settlement failed goes back after so many ms, so that it does not spin. */
const pauseAfterFailureMs = 1_000;
/** A dead-lettering that failed shows in health for as long, in ms, unless another one fails or works: perhaps none is tried again. */
const deadLetterTroubleMs = 60_000;

/**
 * Carries out what becomes of the deliveries of one open intake. A settlement that fails for now is repeated while the message
 * is surely ours; one that fails for good is an error, and the message goes back to its queue.
 */
export class Settler<Taken extends Received> implements Settlements<Taken> {
  readonly #settings: SettlerSettings;
  readonly #driver: SettleDriver<Taken>;
  readonly #acknowledgements: SharedRequests<Taken>;
  readonly #onOver: (delivery: TakenDelivery<Taken>) => void;
  readonly #subject: string;
  /** A trouble of its own, which other settlements that work do not end. */
  readonly #deadLetterSubject: string;

  /**
   * @param onOver called once for each delivery, when the broker has answered its settlement.
   * @param inHand how many deliveries the subscription has, those included that are being settled.
   */
  constructor(
    settings: SettlerSettings,
    driver: SettleDriver<Taken>,
    onOver: (delivery: TakenDelivery<Taken>) => void,
    inHand: () => number,
  ) {
    this.#settings = settings;
    this.#driver = driver;
    this.#onOver = onOver;
    this.#acknowledgements = new SharedRequests({
      send: (batch) => driver.acknowledge(batch),
      clock: settings.clock,
      ...(driver.acknowledging !== undefined && { limits: driver.acknowledging }),
      inHand,
    });
    this.#subject = `settling messages of queue "${settings.queue}"`;
    this.#deadLetterSubject = `${this.#subject} as dead letters`;
  }

  acknowledge(delivery: TakenDelivery<Taken>): MaybePromise<void> {
    const { finish } = this.#driver;
    if (finish === undefined) return this.#settle(delivery, () => this.#acknowledgements.add(delivery.taken));
    const sent = finish.call(this.#driver, delivery.taken);
    if (sent instanceof Promise) return sent.then(() => this.#onOver(delivery));
    this.#onOver(delivery);
  }

  async retry(
    delivery: TakenDelivery<Taken>,
    { delayMs = 0, because = 'failed' }: RetryOptions,
  ): Promise<void> {
    const { attempt, redeliveries } = delivery;
    try {
      checkDelayMs('delayMs', delayMs);
    } catch (error) {
      delivery.reopen();
      throw error;
    }
    const again = {
      delayMs,
      attempt: because === 'failed' ? attempt + 1 : attempt,
      redeliveries: because === 'not-run' ? redeliveries : 0,
    };
    await this.#settle(delivery, () => this.#driver.retry(delivery.taken, again));
  }

  async deadLetter(delivery: TakenDelivery<Taken>, options: DeadLetterOptions): Promise<void> {
    const { queue, deadLetterQueue = '', clock } = this.#settings;
    const circumstances = { queue, attempts: delivery.attempt, at: clock.now() };
    const message = this.#driver.asDelivered?.(delivery.taken) ?? delivery.message;
    const copy = deadLetterCopy(message, options, circumstances);
    await this.#settle(
      delivery,
      () => this.#driver.deadLetter(delivery.taken, deadLetterQueue, copy, options),
      () =>
        this.#noDeadLetterQueue(
          `its dead-letter queue "${deadLetterQueue}" does not exist: declare it again`,
        ),
    );
  }

  release(delivery: TakenDelivery<Taken>): Promise<void> {
    return this.#settle(delivery, () => this.#driver.release([delivery.taken], false));
  }

  assertDeadLetterQueue(): void {
    if (this.#settings.deadLetterQueue === undefined)
      throw this.#noDeadLetterQueue('it has no dead-letter queue: declare it with one');
  }

  /** Messages that nobody handles go back. Never rejects, and never waits for long. */
  async giveBack(batch: readonly Taken[], wereRunning = false): Promise<void> {
    if (batch.length === 0) return;
    const { queue, logger, clock } = this.#settings;
    const answered = new AbortController();
    const release = async (): Promise<void> => {
      try {
        await this.#driver.release(batch, wereRunning);
      } catch (error) {
        logger.debug('messages go back when the broker takes them', { queue, reason: reasonOf(error) });
      }
    };
    await Promise.race([release(), pause(clock, maxGiveBackMs, answered.signal)]);
    answered.abort();
  }

  /** @param onMissing of a dead-lettering: the error when the broker says that something does not exist; the delivery stays open. */
  async #settle(
    delivery: TakenDelivery<Taken>,
    send: () => MaybePromise<void>,
    onMissing?: () => MelangeError,
  ): Promise<void> {
    const { clock, troubles, random, settleTimeoutMs } = this.#settings;
    const subject = onMissing === undefined ? this.#subject : this.#deadLetterSubject;
    const until = clock.monotonicNow() + settleTimeoutMs;
    for (let attempt = 1; ; attempt += 1) {
      try {
        await send();
        troubles.end(subject);
        this.#onOver(delivery);
        return;
      } catch (error) {
        // Lost while it was settled: it comes again, and its settlement means nothing.
        if (delivery.isAborted) return;
        const fault = this.#settings.explain(error);
        const reason = this.#reasonOf(fault, error, onMissing !== undefined);
        troubles.begin(subject, reason);
        if (subject === this.#deadLetterSubject) troubles.rest(subject, deadLetterTroubleMs);
        if (fault.kind === 'missing' && onMissing !== undefined) {
          delivery.reopen();
          throw onMissing();
        }
        const isOurs = clock.monotonicNow() < Math.min(delivery.leaseEndsAt, until);
        if (fault.kind !== 'unavailable' || !isOurs) return this.#giveUp(delivery, fault, reason);
        await pause(clock, reconnectDelayMs(attempt, random()));
        if (delivery.isAborted) return;
      }
    }
  }

  async #giveUp(delivery: TakenDelivery<Taken>, fault: Fault, reason: string): Promise<never> {
    const { queue } = this.#settings;
    if (fault.kind === 'missing') {
      // The queue was deleted, and the message with it.
      this.#onOver(delivery);
      throw new QueueNotFoundError(queue);
    }
    await pause(this.#settings.clock, pauseAfterFailureMs);
    if (!delivery.isAborted) {
      await this.giveBack([delivery.taken]);
      this.#onOver(delivery);
    }
    if (fault.kind === 'refused') throw fault.error;
    throw new BrokerUnavailableError(`A message of queue "${queue}" could not be settled: ${reason}.`);
  }

  #reasonOf(fault: Fault, error: unknown, isForDeadLetterQueue: boolean): string {
    if (fault.kind === 'unavailable') return fault.reason;
    if (fault.kind === 'refused') return reasonOf(error);
    if (!isForDeadLetterQueue) return 'the queue does not exist';
    return `its dead-letter queue "${this.#settings.deadLetterQueue}" does not exist`;
  }

  #noDeadLetterQueue(why: string): MelangeError {
    return new MelangeError('CONFIGURATION', `Queue "${this.#settings.queue}" cannot dead-letter: ${why}.`);
  }
}
