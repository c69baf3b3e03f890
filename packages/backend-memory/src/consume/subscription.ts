import type { Delivery, SubscribeOptions, Subscription } from '@melange/core';
import type { MemoryQueue } from '../client/queue.ts';
import type { MemoryDelivery } from './delivery.ts';

/** What a throwing receiver was given comes again after so long: at once would be a busy loop. */
const pauseAfterThrowMs = 1_000;

/** An open intake of one queue. */
export class MemorySubscription implements Subscription {
  readonly ended: Promise<void>;
  #queue: MemoryQueue;
  readonly #maxInFlight: number;
  readonly #untilEmpty: boolean;
  readonly #receive: (delivery: Delivery) => void;
  readonly #closing: (() => void)[] = [];
  #state: 'starting' | 'open' | 'over' = 'starting';
  #unsettled = 0;
  #resolveEnded: () => void = () => undefined;
  #rejectEnded: (error: unknown) => void = () => undefined;

  constructor(queue: MemoryQueue, options: SubscribeOptions, receive: (delivery: Delivery) => void) {
    this.#queue = queue;
    this.#maxInFlight = options.maxInFlight;
    this.#untilEmpty = options.untilEmpty === true;
    this.#receive = receive;
    this.ended = new Promise((resolve, reject) => {
      this.#resolveEnded = resolve;
      this.#rejectEnded = reject;
    });
    // Whoever does not look at `ended` must not crash by it.
    this.ended.catch(() => undefined);
  }

  get hasRoom(): boolean {
    return this.#state === 'open' && this.#unsettled < this.#maxInFlight;
  }

  /** Nothing more is handed over: it was closed, or has ended. */
  get isOver(): boolean {
    return this.#state === 'over';
  }

  /** Whether it goes on with a queue that is made again under the name of a deleted one. */
  get outlivesItsQueue(): boolean {
    return !this.#untilEmpty;
  }

  /** Goes on with that queue. */
  moveTo(queue: MemoryQueue): void {
    this.#queue = queue;
    queue.add(this);
  }

  async close(): Promise<void> {
    this.#stop();
    this.#resolveEnded();
    if (this.#unsettled > 0) await new Promise<void>((resolve) => this.#closing.push(resolve));
  }

  /** From now on deliveries may come. */
  start(): void {
    if (this.#state === 'starting') this.#state = 'open';
  }

  deliver(delivery: MemoryDelivery): void {
    this.#unsettled += 1;
    try {
      this.#receive(delivery);
    } catch (error) {
      this.#queue.settings.logger.error('A receiver threw; its message comes again.', {
        queue: this.#queue.name,
        messageId: delivery.message.id,
        error,
      });
      // It may have settled the delivery before it threw: then that counts.
      delivery.retry({ delayMs: pauseAfterThrowMs }).catch(() => undefined);
    }
  }

  /** One delivery less that `close` waits for. */
  settled(): void {
    this.#unsettled -= 1;
    if (this.#unsettled === 0) for (const resolve of this.#closing.splice(0)) resolve();
  }

  onEmpty(): void {
    if (this.#untilEmpty) this.end();
  }

  /** Intake is over: for good and well, or by an error. */
  end(error?: Error): void {
    this.#stop();
    if (error === undefined) this.#resolveEnded();
    else this.#rejectEnded(error);
  }

  #stop(): void {
    if (this.#state === 'over') return;
    this.#state = 'over';
    this.#queue.remove(this);
  }
}
