import type { Consumer } from './consumer.ts';
import type { Health } from './health.ts';
import type { MaybePromise } from './maybe-promise.ts';

/** Proof of a claim. Opaque: only the cache that gave it reads `fence`. */
export interface ClaimToken {
  /** The key that was claimed. */
  readonly key: string;
  /** Differs for every claim, so that a former holder cannot change the claim of its successor. */
  readonly fence: string;
}

/**
 * Answer to a claim: granted, processed before, or held by another process. `remainingMs`, where the cache tells it: when
 * that ends by the store's clock, unless it is renewed.
 */
export type Claim =
  | { readonly status: 'claimed'; readonly token: ClaimToken }
  | { readonly status: 'done'; readonly remainingMs?: number }
  | { readonly status: 'held'; readonly remainingMs?: number };

/**
 * Remembers which consumer has processed which message: claim before the work, confirm after it.
 *
 * Every method is atomic among all users of the same store, and answers or rejects in bounded time. The
 * claimed state ends with its lease, the done state with the cache's own `ttlMs`; neither shortens the other.
 */
export interface DeduplicationCache {
  /** Takes the right to process `key` for `leaseMs`, unless it is done or held. Of concurrent callers exactly one gets `claimed`. */
  claim(key: string, options: { readonly leaseMs: number }): MaybePromise<Claim>;
  /** Renews the lease. False when the claim is no longer this token's: stop working. */
  extend(token: ClaimToken, options: { readonly leaseMs: number }): MaybePromise<boolean>;
  /** Marks the key done. False, changing nothing, when the claim is no longer this token's. */
  confirm(token: ClaimToken): MaybePromise<boolean>;
  /** Gives the claim up after a failure, so that the next delivery may try at once. A token that lost its claim changes nothing. */
  release(token: ClaimToken): MaybePromise<void>;
  /** Whether the store answers. */
  health(): MaybePromise<Health>;
  /** Closes the connections that the cache itself opened. Idempotent. */
  close(): MaybePromise<void>;
}

/**
 * The key of a consumer's work on a message: `<queue>:<consumer name>:<message id>`, or `<deduplicationName>:<message id>`
 * for a consumer that has a `deduplicationName`. In queue, consumer name and message id a colon is written as `%3A` and a
 * percent sign as `%25`; otherwise consumer `b:c` of queue `a` and consumer `c` of queue `a:b` would share keys. A
 * `deduplicationName` is written as it is.
 */
export function deduplicationKey(
  queue: string,
  consumer: Pick<Consumer, 'name' | 'deduplicationName'>,
  messageId: string,
): string {
  return deduplicationPrefix(queue, consumer) + escapedKeyPart(messageId);
}

/**
 * The key without the message's id. Made by `join` and not by `+`: V8 keeps the operands of `+` in memory for as long as
 * the cache keeps the key.
 */
export function deduplicationPrefix(
  queue: string,
  { name, deduplicationName }: Pick<Consumer, 'name' | 'deduplicationName'>,
): string {
  return [deduplicationName ?? [queue, name].map(escapedKeyPart).join(':'), ''].join(':');
}

/** Most parts contain neither character, and `includes` is faster than a regular expression. */
export function escapedKeyPart(part: string): string {
  return part.includes(':') || part.includes('%') ? part.replace(/[%:]/g, encodeURIComponent) : part;
}

/** Remembers nothing: every delivery is processed. The default of the dispatcher. */
export class NullCache implements DeduplicationCache {
  claim(key: string): Claim {
    return { status: 'claimed', token: { key, fence: '' } };
  }
  extend(): boolean {
    return true;
  }
  confirm(): boolean {
    return true;
  }
  release(): void {}
  health(): Health {
    return { status: 'healthy' };
  }
  close(): void {}
}
