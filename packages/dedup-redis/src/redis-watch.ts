import { type Logger, unfailingLogger } from '@melange/core';
import type { Operation } from './deduplication-script.ts';
import type { OutcomeObserver } from './operation-queue.ts';

/** Says once when Redis becomes unusable, once when it is usable again, and remembers a key of somebody else. */
export class RedisWatch implements OutcomeObserver {
  readonly #logger: Logger;
  #trouble: { readonly reason: string; readonly isRefusal: boolean } | undefined;
  #foreignKey: string | undefined;

  constructor(logger: Logger | undefined) {
    this.#logger = unfailingLogger(logger);
  }

  /** The last key found to hold what this cache never wrote. */
  get foreignKey(): string | undefined {
    return this.#foreignKey;
  }

  forgetForeignKey(): void {
    this.#foreignKey = undefined;
  }

  onAnswer(_operation: Operation, answer: string): void {
    if (this.#trouble === undefined) return;
    // A full or read-only Redis still answers: only a claim that it wrote down shows that it takes writes again.
    if (this.#trouble.isRefusal && answer !== 'claimed') return;
    this.#trouble = undefined;
    this.#logger.info('the deduplication cache can use Redis again');
  }

  onFailure(operation: Operation | undefined, reason: string): void {
    // The trouble of one key, not of Redis.
    if (operation !== undefined && reason.includes('WRONGTYPE')) {
      this.#foreignKey = operation.key;
      this.#logger.warn('a key of the deduplication cache holds something else', {
        key: operation.key,
        reason,
      });
      return;
    }
    if (this.#trouble?.reason === reason) return;
    this.#trouble = { reason, isRefusal: operation !== undefined };
    this.#logger.warn('the deduplication cache cannot use Redis', { reason });
  }
}
