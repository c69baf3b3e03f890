import type { Delivery, SubscribeOptions } from '../contract/backend.ts';
import type { LoopSettings } from './loop-settings.ts';
import { Scheduler } from './scheduler.ts';
import type { Standing } from './standing-keys.ts';

/** One queue being consumed, from subscribing to the last settlement. */
export class ConsumeLoop {
  readonly queue: string;
  readonly #settings: LoopSettings;
  /** `undefined` until the queue was looked up. */
  #scheduler: Scheduler | undefined;

  constructor(queue: string, settings: LoopSettings) {
    this.queue = queue;
    this.#settings = settings;
  }

  /** Deliveries received and not settled. */
  get inFlight(): number {
    return this.#scheduler?.inHand.count ?? 0;
  }

  /** Handlers under way. */
  get running(): number {
    return this.#scheduler?.running ?? 0;
  }

  /** Keys that stand still: the first of their messages failed and has not succeeded since. */
  get standing(): Standing | undefined {
    return this.#scheduler?.standing;
  }

  /** How long stopping would wait for running handlers, in ms. */
  get deadlineMs(): number {
    return this.#settings.deadlineMs();
  }

  /** Consumes until `signal` is aborted or, with `untilEmpty`, the broker has nothing more; then drains. */
  async run(signal: AbortSignal, untilEmpty: boolean): Promise<void> {
    if (signal.aborted) return;
    let abort = (): void => undefined;
    const aborted = new Promise<void>((resolve) => {
      abort = () => {
        // In this turn of the event loop: a delivery that arrives from now on is given back.
        this.#scheduler?.stop();
        resolve();
      };
    });
    // Before the first await: the signal may be aborted meanwhile.
    signal.addEventListener('abort', abort, { once: true });
    try {
      const { deadLetterQueue } = await this.#settings.backend.describeQueue(this.queue);
      if (signal.aborted) return;
      const scheduler = new Scheduler(this.#settings, this.#settings.rules(deadLetterQueue));
      this.#scheduler = scheduler;
      await this.#consume(scheduler, signal, aborted, untilEmpty);
    } finally {
      // The signal outlives this run, and would keep the listeners of every run before it.
      signal.removeEventListener('abort', abort);
    }
  }

  async #consume(
    scheduler: Scheduler,
    signal: AbortSignal,
    aborted: Promise<void>,
    untilEmpty: boolean,
  ): Promise<void> {
    const { backend, onReceived, report } = this.#settings;
    const options: SubscribeOptions = { maxInFlight: scheduler.maxInFlight, untilEmpty };
    const receive = (delivery: Delivery): void => {
      onReceived();
      scheduler.receive(delivery);
    };
    const subscription = await backend.subscribe(this.queue, options, receive);
    let failure: unknown;
    try {
      await Promise.race([aborted, subscription.ended]);
      if (!signal.aborted) await Promise.race([aborted, scheduler.inHand.none()]);
    } catch (error) {
      failure = error;
      report(error, undefined);
    }
    // `allSettled`: a `close` that fails while the loop drains must not be an unhandled rejection.
    const [closing] = await Promise.allSettled([subscription.close(), scheduler.drain(this.deadlineMs)]);
    if (failure !== undefined) throw failure;
    if (closing.status === 'rejected') throw closing.reason;
  }
}
