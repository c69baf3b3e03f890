import {
  type AbortReason,
  type DeadLetterOptions,
  type Delivery,
  DeliveryAbortedError,
  deadLetterCopy,
  MelangeError,
  type Message,
} from '@melange/core';
import type { Entry } from './entry-list.ts';
import { copyMessage } from './memory-message-mapper.ts';
import type { MemoryQueue } from './memory-queue.ts';
import type { MemorySubscription } from './memory-subscription.ts';

/** A message whose dead-letter queue was full comes again after so long. */
const pauseAfterFailedDeadLetterMs = 1_000;

/** One handing-over of an entry, settled once. */
export class MemoryDelivery implements Delivery {
  readonly message: Message;
  readonly attempt: number;
  readonly #queue: MemoryQueue;
  readonly #subscription: MemorySubscription;
  readonly #entry: Entry;
  readonly #cancelLease: (() => void) | undefined;
  #state: 'open' | 'settled' | 'lost' = 'open';
  #controller: AbortController | undefined;
  #abortedWith: DeliveryAbortedError | undefined;

  constructor(queue: MemoryQueue, subscription: MemorySubscription, entry: Entry) {
    this.message = copyMessage(entry.message);
    this.attempt = entry.attempt;
    this.#queue = queue;
    this.#subscription = subscription;
    this.#entry = entry;
    const { leaseMs, clock } = queue.settings;
    if (leaseMs !== undefined) this.#cancelLease = clock.schedule(() => this.#expire(leaseMs), leaseMs);
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#abortedWith !== undefined) this.#controller.abort(this.#abortedWith);
    }
    return this.#controller.signal;
  }

  async acknowledge(): Promise<void> {
    if (this.#settle()) this.#queue.finish(this.#entry);
  }

  async retry(options?: { readonly delayMs?: number }): Promise<void> {
    if (this.#settle()) this.#queue.retry(this.#entry, options?.delayMs ?? 0);
  }

  async release(): Promise<void> {
    if (this.#settle()) this.#queue.putBack(this.#entry);
  }

  async deadLetter(options: DeadLetterOptions): Promise<void> {
    const { name, settings } = this.#queue;
    if (settings.deadLetterQueue === undefined) {
      throw new MelangeError(
        'CONFIGURATION',
        `Queue "${name}" has no dead-letter queue: declare it with one.`,
      );
    }
    if (!this.#settle()) return;
    const at = settings.clock.now();
    try {
      settings.putIntoDeadLetterQueue(
        deadLetterCopy(this.message, options, { queue: name, attempts: this.attempt, at }),
      );
    } catch (error) {
      this.#queue.retry(this.#entry, pauseAfterFailedDeadLetterMs);
      throw error;
    }
    this.#queue.finish(this.#entry);
  }

  /** Takes the delivery away from its handler; the entry is the caller's. */
  lose(reason: AbortReason, why: string): void {
    if (this.#state !== 'open') return;
    this.#state = 'lost';
    this.#cancelLease?.();
    this.#abortedWith = new DeliveryAbortedError(reason, why);
    this.#controller?.abort(this.#abortedWith);
    this.#subscription.settled(this);
  }

  /** Whether the settlement counts; false when the delivery was lost and comes again. */
  #settle(): boolean {
    if (this.#state === 'lost') return false;
    if (this.#state === 'settled') {
      throw new MelangeError('DELIVERY_SETTLED', `Message ${this.message.id} was settled already.`);
    }
    this.#state = 'settled';
    this.#cancelLease?.();
    this.#subscription.settled(this);
    return true;
  }

  #expire(leaseMs: number): void {
    this.lose('lease-lost', `Not settled within its lease of ${leaseMs} ms.`);
    this.#queue.retry(this.#entry, 0);
  }
}
