import {
  type AbortReason,
  type DeadLetterOptions,
  type Delivery,
  DeliveryAbortedError,
  type MaybePromise,
  MelangeError,
  type Message,
  type RetryOptions,
} from '@melange/core';
import type { Slotted } from '@melange/core/adapter';
import type { Received } from '../driver.ts';

/** Who carries out what becomes of a delivery. */
export interface Settlements<Taken extends Received> {
  acknowledge(delivery: TakenDelivery<Taken>): MaybePromise<void>;
  retry(delivery: TakenDelivery<Taken>, options: RetryOptions): Promise<void>;
  /** @throws MelangeError `CONFIGURATION` when there is no dead-letter queue: the delivery stays open. */
  deadLetter(delivery: TakenDelivery<Taken>, options: DeadLetterOptions): Promise<void>;
  release(delivery: TakenDelivery<Taken>): Promise<void>;
  /** @throws MelangeError `CONFIGURATION`. */
  assertDeadLetterQueue(): void;
  /**
   * Nobody handles them any more: they go back, in their old order where the broker can. Never rejects.
   *
   * @param wereRunning whether their handlers had begun. Default: false.
   */
  giveBack(batch: readonly Taken[], wereRunning?: boolean): Promise<void>;
}

/**
 * One handing-over of a message, settled once. Invariant: from `open` it becomes `settling` by its handler, or `lost` by the
 * broker, and never `open` again, unless its dead-letter queue is missing; a settlement of a lost delivery does nothing, for the message comes again.
 */
export class TakenDelivery<Taken extends Received> implements Delivery, Slotted {
  readonly taken: Taken;
  slot = -1;
  /** Who settles it. */
  readonly settlements: Settlements<Taken>;
  /** Nothing where the broker does not lease: a number would be an object of its own for every message. */
  #leaseEndsAt: number | undefined;
  #state: 'open' | 'settling' | 'lost' = 'open';
  #controller: AbortController | undefined;
  #abortedWith: DeliveryAbortedError | undefined;

  /** @param leaseEndsAt default: never. */
  constructor(taken: Taken, settlements: Settlements<Taken>, leaseEndsAt?: number) {
    this.taken = taken;
    this.settlements = settlements;
    this.#leaseEndsAt = leaseEndsAt;
  }

  /** Of the monotonic clock, in ms: until then the message is surely ours. */
  get leaseEndsAt(): number {
    return this.#leaseEndsAt ?? Number.POSITIVE_INFINITY;
  }

  set leaseEndsAt(time: number) {
    this.#leaseEndsAt = time;
  }

  get message(): Message {
    return this.taken.message;
  }

  get attempt(): number {
    return this.taken.attempt;
  }

  get redeliveries(): number {
    return this.taken.redeliveries;
  }

  get isAborted(): boolean {
    return this.#abortedWith !== undefined;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#abortedWith !== undefined) this.#controller.abort(this.#abortedWith);
    }
    return this.#controller.signal;
  }

  /** Whether nobody settles it yet. */
  get isOpen(): boolean {
    return this.#state === 'open';
  }

  acknowledge(): MaybePromise<void> {
    try {
      if (!this.#begin()) return;
    } catch (error) {
      return Promise.reject(error);
    }
    return this.settlements.acknowledge(this);
  }

  async retry(options: RetryOptions = {}): Promise<void> {
    if (this.#begin()) await this.settlements.retry(this, options);
  }

  async deadLetter(options: DeadLetterOptions): Promise<void> {
    if (this.#state === 'open') this.settlements.assertDeadLetterQueue();
    if (this.#begin()) await this.settlements.deadLetter(this, options);
  }

  async release(): Promise<void> {
    if (this.#begin()) await this.settlements.release(this);
  }

  /** Its dead-letter queue is gone: the handler may settle it in another way. */
  reopen(): void {
    if (this.#state === 'settling') this.#state = 'open';
  }

  /** The message is the broker's again. False when the delivery was lost before. */
  lose(reason: AbortReason, why: string): boolean {
    if (this.#abortedWith !== undefined) return false;
    const wasOpen = this.#state === 'open';
    this.#state = 'lost';
    this.#abortedWith = new DeliveryAbortedError(reason, why);
    if (wasOpen) this.#controller?.abort(this.#abortedWith);
    return true;
  }

  /** Whether there is something to settle. */
  #begin(): boolean {
    if (this.#state === 'lost') return false;
    if (this.#state === 'settling')
      throw new MelangeError('DELIVERY_SETTLED', `Message ${this.message.id} was settled already.`);
    this.#state = 'settling';
    return true;
  }
}
