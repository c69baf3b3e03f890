import type { Logger } from '@melange/core';
import { unfailingLogger } from '@melange/core/adapter';
import type { Operation } from './deduplication-script.ts';
import type { OutcomeObserver } from './operation-queue.ts';

/** Where Redis refuses some operations and grants others, between any two of them it would be usable again. */
const quietMs = 1_000;

interface Trouble {
  /** Those that were told. */
  readonly reasons: Set<string>;
  /** Of `performance.now()`. */
  failedAt: number;
  isRefusal: boolean;
}

/**
 * Says once for each reason that Redis cannot be used, once when it can be used again, with no failure for a second, and
 * remembers a key of somebody else.
 */
export class RedisWatch implements OutcomeObserver {
  readonly #logger: Logger;
  #trouble: Trouble | undefined;
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
    if (performance.now() - this.#trouble.failedAt < quietMs) return;
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
    this.#trouble ??= { reasons: new Set(), failedAt: 0, isRefusal: false };
    this.#trouble.failedAt = performance.now();
    this.#trouble.isRefusal = operation !== undefined;
    if (this.#trouble.reasons.has(reason)) return;
    this.#trouble.reasons.add(reason);
    this.#logger.warn('the deduplication cache cannot use Redis', { reason });
  }
}
