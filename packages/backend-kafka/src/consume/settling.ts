import { type Logger, MelangeError, type RetryOptions } from '@melange/core';
import type { Copies } from './copies.ts';
import type { KafkaDelivery, Settlements } from './delivery.ts';
import type { Progress } from './progress.ts';

/** What settlements are told to. */
export interface SettlingContext {
  readonly deadLetterQueue: () => string | undefined;
  /** A record is finished, and to be committed. */
  readonly onFinished: () => void;
  /** There is room for another delivery, or a record to hand over. */
  readonly onRoom: () => void;
}

/** From a failure to the next try. */
export const pauseAfterFailureMs = 1_000;
/** Longest delay that a timer keeps. */
const maxTimerMs = 2_147_483_647;

/** What becomes of the deliveries of one queue. */
export class Settling implements Settlements {
  readonly queue: string;
  readonly #copies: Copies;
  readonly #progress: Progress;
  readonly #logger: Logger;
  readonly #context: SettlingContext;

  constructor(queue: string, copies: Copies, progress: Progress, logger: Logger, context: SettlingContext) {
    this.queue = queue;
    this.#copies = copies;
    this.#progress = progress;
    this.#logger = logger;
    this.#context = context;
  }

  get deadLetterQueue(): string | undefined {
    return this.#context.deadLetterQueue();
  }

  finish(delivery: KafkaDelivery): void {
    delivery.assignment.finish(delivery.entry);
    this.#context.onFinished();
    this.leaveBusy(delivery);
  }

  putBack(delivery: KafkaDelivery): void {
    delivery.assignment.putBack(delivery.entry);
    this.leaveBusy(delivery);
  }

  retry(delivery: KafkaDelivery, options: RetryOptions): Promise<void> {
    const copying = this.#copies.retry(delivery, options).catch((error: unknown) => {
      if (!MelangeError.is(error, 'MESSAGE_TOO_LARGE')) throw error;
      return error;
    });
    return this.#copied(delivery, 'retry', copying, (error) => this.#keep(delivery, options, error));
  }

  deadLetter: Settlements['deadLetter'] = async (delivery, options) => {
    await this.#copied(delivery, 'dead-letter', this.#copies.deadLetter(delivery, options));
    if (options.reason === 'crashed') delivery.entry.tracker.crashes.found();
  };

  /** The delivery needs nothing of this process any more. */
  leaveBusy(delivery: KafkaDelivery): void {
    delivery.assignment.leaveBusy(delivery);
    this.#context.onRoom();
  }

  /** A record that fills its topic has no room for what a copy says besides: it waits here, and its key with it. */
  #keep(delivery: KafkaDelivery, { delayMs = 0, because = 'failed' }: RetryOptions, error: unknown): void {
    const { entry, attempt, redeliveries, message } = delivery;
    const facts = { queue: this.queue, messageId: message.id, error };
    this.#logger.warn('A message is too large for a copy in the retry topic; it waits here', facts);
    entry.again = {
      attempt: because === 'failed' ? attempt + 1 : attempt,
      redeliveries: because === 'not-run' ? redeliveries : 0,
    };
    this.#putBackLater(delivery, delayMs);
  }

  #putBackLater(delivery: KafkaDelivery, delayMs: number): void {
    setTimeout(
      () => {
        delivery.assignment.putBack(delivery.entry);
        this.#context.onRoom();
      },
      Math.min(delayMs, maxTimerMs),
    );
    this.leaveBusy(delivery);
  }

  /** The record is finished here only when its copy is confirmed there. */
  async #copied(
    delivery: KafkaDelivery,
    kind: string,
    copying: Promise<unknown>,
    onImpossible: (error: unknown) => void = () => undefined,
  ): Promise<void> {
    try {
      const impossible = await copying;
      if (impossible !== undefined) return onImpossible(impossible);
    } catch (error) {
      const facts = { queue: this.queue, messageId: delivery.message.id, error };
      this.#logger.warn(`A ${kind} copy was not confirmed; the message comes again`, facts);
      this.#progress.failed('copy', error);
      this.#putBackLater(delivery, pauseAfterFailureMs);
      throw error;
    }
    this.#progress.worked('copy');
    this.finish(delivery);
  }
}
