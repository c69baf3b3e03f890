import { deduplicationPrefix, escapedKeyPart } from '../contract/cache.ts';
import type { Consumer } from '../contract/consumer.ts';

/** Deduplication keys of one queue, as `deduplicationKey` makes them. The prefix of a consumer is made once. */
export class ClaimKeys {
  readonly #queue: string;
  /** Weak: a consumer that is unattached can be collected. */
  readonly #prefixes = new WeakMap<Consumer, string>();

  constructor(queue: string) {
    this.#queue = queue;
  }

  of(consumer: Consumer, messageId: string): string {
    let prefix = this.#prefixes.get(consumer);
    if (prefix === undefined) {
      prefix = deduplicationPrefix(this.#queue, consumer);
      this.#prefixes.set(consumer, prefix);
    }
    return prefix + escapedKeyPart(messageId);
  }
}
