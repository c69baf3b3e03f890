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
import { deadLetterCopy, type Slotted } from '@melange/core/adapter';
import type { Entry } from '../client/entry-list.ts';
import type { MemoryQueue } from '../client/queue.ts';
import { copyMessage } from '../wire.ts';
import type { MemorySubscription } from './subscription.ts';

/** A message whose dead-letter queue was full comes again after so long. */
const pauseAfterFailedDeadLetterMs = 1_000;

/** One handing-over of an entry, settled once. */
export class MemoryDelivery implements Delivery, Slotted {
  readonly message: Message;
  readonly attempt: number;
  readonly redeliveries: number;
  /** What the queue holds; `message` is a copy, whatever its handler does to it. */
  readonly entry: Entry;
  slot = -1;
  readonly #queue: MemoryQueue;
  readonly #subscription: MemorySubscription;
  readonly #cancelLease: (() => void) | undefined;
  #state: 'open' | 'settled' | 'lost' = 'open';
  #controller: AbortController | undefined;
  #abortedWith: DeliveryAbortedError | undefined;

  constructor(queue: MemoryQueue, subscription: MemorySubscription, entry: Entry) {
    this.message = copyMessage(entry.message);
    this.attempt = entry.attempt;
    this.redeliveries = entry.redeliveries;
    this.entry = entry;
    this.#queue = queue;
    this.#subscription = subscription;
    const { leaseMs, clock } = queue.settings;
    if (leaseMs !== undefined) this.#cancelLease = clock.schedule(() => this.#expire(leaseMs), leaseMs);
  }

  get isAborted(): boolean {
    return this.#state === 'lost';
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#abortedWith !== undefined) this.#controller.abort(this.#abortedWith);
    }
    return this.#controller.signal;
  }

  acknowledge(): MaybePromise<void> {
    try {
      if (this.#settle()) this.#queue.finish(this);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  async retry({ delayMs = 0, because = 'failed' }: RetryOptions = {}): Promise<void> {
    if (!this.#settle()) return;
    if (because === 'failed') this.entry.attempt += 1;
    if (because !== 'not-run') this.entry.redeliveries = 0;
    this.#queue.comeAgain(this, delayMs);
  }

  async release(): Promise<void> {
    if (this.#settle()) this.#queue.putBack(this);
  }

  async deadLetter(options: DeadLetterOptions): Promise<void> {
    const { name, settings } = this.#queue;
    if (this.#state === 'open' && settings.deadLetterQueue === undefined) {
      throw new MelangeError(
        'CONFIGURATION',
        `Queue "${name}" has no dead-letter queue: declare it with one.`,
      );
    }
    if (!this.#settle()) return;
    const circumstances = { queue: name, attempts: this.attempt, at: settings.clock.now() };
    try {
      settings.putIntoDeadLetterQueue(deadLetterCopy(this.entry.message, options, circumstances));
    } catch (error) {
      this.#queue.comeAgain(this, pauseAfterFailedDeadLetterMs);
      throw error;
    }
    this.#queue.finish(this);
  }

  /** Takes the delivery away from its handler; what becomes of the entry is the caller's to say. */
  lose(reason: AbortReason, why: string): void {
    if (this.#state !== 'open') return;
    this.#state = 'lost';
    this.#cancelLease?.();
    this.#abortedWith = new DeliveryAbortedError(reason, why);
    this.#controller?.abort(this.#abortedWith);
    this.#subscription.settled();
  }

  /** Whether the settlement counts; false when the delivery was lost and comes again. */
  #settle(): boolean {
    if (this.#state === 'lost') return false;
    if (this.#state === 'settled') {
      throw new MelangeError('DELIVERY_SETTLED', `Message ${this.message.id} was settled already.`);
    }
    this.#state = 'settled';
    this.#cancelLease?.();
    this.#subscription.settled();
    return true;
  }

  #expire(leaseMs: number): void {
    this.lose('lease-lost', `Not settled within its lease of ${leaseMs} ms.`);
    this.entry.redeliveries += 1;
    this.#queue.comeAgain(this, 0);
  }
}
