import assert from 'node:assert/strict';
import type { Delivery, MessagingBackend, Subscription } from '@melange/core';
import { pause } from '../behaviour.ts';

/** How a receiver subscribes. */
export interface ReceiverOptions {
  /** Default: 10. */
  readonly maxInFlight?: number;
  /** Default: false. */
  readonly untilEmpty?: boolean;
  /** Runs for each delivery as it arrives; what it throws fails the next `take`. Default: leaves it unsettled. */
  readonly handle?: (delivery: Delivery) => unknown;
}

/** A subscription whose deliveries are kept in the order of their arrival. */
export class Receiver {
  /** Everything that arrived. */
  readonly deliveries: Delivery[] = [];
  readonly queue: string;
  readonly #patienceMs: number;
  readonly #waiting = new Set<() => void>();
  readonly #errors: unknown[] = [];
  readonly #handle: ((delivery: Delivery) => unknown) | undefined;
  #taken = 0;
  #subscription: Subscription | undefined;

  private constructor(queue: string, patienceMs: number, options: ReceiverOptions) {
    this.queue = queue;
    this.#patienceMs = patienceMs;
    this.#handle = options.handle;
  }

  static async open(
    backend: MessagingBackend,
    queue: string,
    patienceMs: number,
    options: ReceiverOptions,
  ): Promise<Receiver> {
    const receiver = new Receiver(queue, patienceMs, options);
    receiver.#subscription = await backend.subscribe(
      queue,
      { maxInFlight: options.maxInFlight ?? 10, untilEmpty: options.untilEmpty ?? false },
      (delivery) => receiver.#arrive(delivery),
    );
    receiver.#subscription.ended.catch(() => {
      // Whoever cares awaits `ended`; nobody caring is not an unhandled rejection.
    });
    return receiver;
  }

  get subscription(): Subscription {
    assert.ok(this.#subscription !== undefined, 'subscribe has not resolved yet');
    return this.#subscription;
  }

  /** Ids of everything that arrived. */
  get ids(): string[] {
    return this.deliveries.map((delivery) => delivery.message.id);
  }

  /** The next deliveries not taken yet, once so many arrived. */
  async take(count: number): Promise<Delivery[]> {
    const from = this.#taken;
    this.#taken += count;
    await this.until(
      () => this.deliveries.length >= from + count,
      () => `${count} deliveries from "${this.queue}" (${this.deliveries.length - from} came)`,
    );
    return this.deliveries.slice(from, from + count);
  }

  /** The next delivery not taken yet. */
  async next(): Promise<Delivery> {
    const [delivery] = await this.take(1);
    return delivery as Delivery;
  }

  /** Waits, looking again at every arrival, until the condition holds. */
  async until(condition: () => boolean, what: () => string): Promise<void> {
    const end = performance.now() + this.#patienceMs;
    for (;;) {
      if (this.#errors.length > 0) throw this.#errors[0];
      if (condition()) return;
      const left = end - performance.now();
      if (left <= 0) throw new Error(`Waited ${this.#patienceMs} ms in vain for ${what()}`);
      await this.#arrivalOr(left);
    }
  }

  /**
   * Nothing that was not taken arrives for a while. An absence has no event to wait for: a short quiet
   * period is the only evidence, and a broken backend that needs longer is caught by the counts elsewhere.
   */
  async staysQuiet(milliseconds: number, why: string): Promise<void> {
    await pause(milliseconds);
    const untaken = this.ids.slice(this.#taken);
    assert.deepEqual(untaken, [], `${why}, yet "${this.queue}" delivered`);
    if (this.#errors.length > 0) throw this.#errors[0];
  }

  #arrive(delivery: Delivery): void {
    this.deliveries.push(delivery);
    if (this.#handle !== undefined) void this.#run(this.#handle, delivery);
    this.#wake();
  }

  async #run(handle: (delivery: Delivery) => unknown, delivery: Delivery): Promise<void> {
    try {
      await handle(delivery);
    } catch (error) {
      this.#errors.push(error);
      this.#wake();
    }
  }

  #wake(): void {
    for (const wake of [...this.#waiting]) wake();
  }

  #arrivalOr(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#waiting.delete(done);
        resolve();
      };
      const timer = setTimeout(done, milliseconds);
      this.#waiting.add(done);
    });
  }
}
