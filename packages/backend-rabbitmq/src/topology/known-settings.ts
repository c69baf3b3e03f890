import type { OnChannel } from './delay-queues.ts';
import { inspectQueue, type QueueSettings } from './queue-inspection.ts';

/** Settings of queues that were not declared here, asked for once each. */
export class KnownSettings {
  readonly #onChannel: OnChannel;
  readonly #exchangeExists: (name: string) => Promise<boolean>;
  readonly #settings = new Map<string, Promise<QueueSettings | undefined>>();

  constructor(onChannel: OnChannel, exchangeExists: (name: string) => Promise<boolean>) {
    this.#onChannel = onChannel;
    this.#exchangeExists = exchangeExists;
  }

  /**
   * `undefined` for a queue that is not there.
   *
   * @param exchange the queue's dead-letter exchange, if it has one.
   */
  of(queue: string, exchange: string): Promise<QueueSettings | undefined> {
    const known = this.#settings.get(queue);
    if (known !== undefined) return known;
    const asked = this.#ask(queue, exchange);
    this.#settings.set(queue, asked);
    const forget = (): boolean => this.#settings.delete(queue);
    // One that is not there, or was not told of, is asked for again.
    asked.then((settings) => settings?.type === undefined && forget(), forget);
    return asked;
  }

  /** The queue was not there: what is known of it counts no more. */
  forget(queue: string): void {
    this.#settings.delete(queue);
  }

  async #ask(queue: string, exchange: string): Promise<QueueSettings | undefined> {
    const guess = (await this.#exchangeExists(exchange))
      ? { 'x-dead-letter-exchange': exchange, 'x-dead-letter-routing-key': '?' }
      : {};
    return inspectQueue(queue, this.#onChannel, guess);
  }
}
