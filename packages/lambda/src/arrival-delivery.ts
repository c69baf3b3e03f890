import {
  type DeadLetterOptions,
  type Delivery,
  MelangeError,
  type Message,
  type RetryOptions,
} from '@melange/core';
import { checkDelayMs } from '@melange/core/adapter';
import type { Again, Arrival } from './arrival.ts';
import type { TimeLimit } from './time-limit.ts';

/** Who carries out what becomes of a delivery. */
export interface DeliveryContext {
  readonly limit: TimeLimit;
  onDone(arrival: Arrival): void;
  onUnsettled(arrival: Arrival): void;
  comeAgain(arrival: Arrival, again: Again): Promise<void>;
}

/** A message whose copy could not be made comes again after so long, so that it does not spin. */
const pauseAfterFailureMs = 1_000;

/** One handing-over of a message of an event. */
export class ArrivalDelivery implements Delivery {
  readonly attempt: number;
  readonly redeliveries: number;
  /** Near the end of the invocation it is still ours to settle. */
  readonly isAborted = false;
  readonly #arrival: Arrival;
  readonly #context: DeliveryContext;
  #isSettled = false;

  constructor(arrival: Arrival, attempt: number, redeliveries: number, context: DeliveryContext) {
    this.attempt = attempt;
    this.redeliveries = redeliveries;
    this.#arrival = arrival;
    this.#context = context;
  }

  get message(): Message {
    return this.#arrival.message;
  }

  get signal(): AbortSignal {
    return this.#context.limit.signal;
  }

  async acknowledge(): Promise<void> {
    this.#settle();
    try {
      await this.#arrival.acknowledge();
    } catch (error) {
      this.#context.onUnsettled(this.#arrival);
      throw error;
    }
    this.#context.onDone(this.#arrival);
  }

  async retry({ delayMs = 0, because = 'failed' }: RetryOptions = {}): Promise<void> {
    checkDelayMs('delayMs', delayMs);
    this.#settle();
    const { attempt, redeliveries } = this;
    await this.#context.comeAgain(this.#arrival, {
      delayMs,
      attempt: because === 'failed' ? attempt + 1 : attempt,
      redeliveries: because === 'not-run' ? redeliveries : 0,
    });
  }

  async deadLetter(options: DeadLetterOptions): Promise<void> {
    this.#settle();
    try {
      await this.#arrival.deadLetter(options);
    } catch (error) {
      // As the same attempt: a further one might be past the last.
      const { attempt, redeliveries } = this;
      const again = { delayMs: pauseAfterFailureMs, attempt, redeliveries };
      await this.#context.comeAgain(this.#arrival, again).catch(() => undefined);
      throw error;
    }
    this.#context.onDone(this.#arrival);
  }

  async release(): Promise<void> {
    this.#settle();
    const { attempt, redeliveries } = this;
    await this.#context.comeAgain(this.#arrival, { delayMs: 0, attempt, redeliveries });
  }

  #settle(): void {
    if (this.#isSettled)
      throw new MelangeError('DELIVERY_SETTLED', `Message ${this.message.id} was settled already.`);
    this.#isSettled = true;
  }
}
