import type { Delivery, SubscribeOptions, Subscription } from '@melange/core';
import type { MemoryDelivery } from './memory-delivery.ts';
import type { MemoryQueue } from './memory-queue.ts';

/** An open intake of one queue. */
export class MemorySubscription implements Subscription {
  readonly ended: Promise<void>;
  readonly #queue: MemoryQueue;
  readonly #options: SubscribeOptions;
  readonly #receive: (delivery: Delivery) => void;
  readonly #unsettled = new Set<MemoryDelivery>();
  #isOpen = true;
  #end: () => void = () => undefined;
  #fail: (error: unknown) => void = () => undefined;
  #onSettled: () => void = () => undefined;

  constructor(queue: MemoryQueue, options: SubscribeOptions, receive: (delivery: Delivery) => void) {
    this.#queue = queue;
    this.#options = options;
    this.#receive = receive;
    this.ended = new Promise((resolve, reject) => {
      this.#end = resolve;
      this.#fail = reject;
    });
    // Whoever does not look at `ended` must not crash by it.
    this.ended.catch(() => undefined);
  }

  get hasRoom(): boolean {
    return this.#isOpen && this.#unsettled.size < this.#options.maxInFlight;
  }

  async close(): Promise<void> {
    this.#stop();
    this.#end();
    if (this.#unsettled.size === 0) return;
    await new Promise<void>((resolve) => {
      const others = this.#onSettled;
      this.#onSettled = () => {
        others();
        resolve();
      };
    });
  }

  deliver(delivery: MemoryDelivery): void {
    this.#unsettled.add(delivery);
    try {
      this.#receive(delivery);
    } catch {
      // A receiver that throws has not taken the delivery.
      delivery.release().catch(() => undefined);
    }
  }

  settled(delivery: MemoryDelivery): void {
    this.#unsettled.delete(delivery);
    if (this.#unsettled.size === 0) this.#onSettled();
  }

  onEmpty(): void {
    if (this.#options.untilEmpty !== true) return;
    this.#stop();
    this.#end();
  }

  /** The queue was deleted. */
  fail(error: unknown): void {
    this.#stop();
    this.#fail(error);
    this.#loseAll('The queue was deleted.');
  }

  /** The backend was closed. */
  abandon(): void {
    this.#stop();
    this.#end();
    this.#loseAll('The backend was closed.');
  }

  #stop(): void {
    this.#isOpen = false;
    this.#queue.remove(this);
  }

  #loseAll(why: string): void {
    for (const delivery of this.#unsettled) delivery.lose('shutdown', why);
  }
}
