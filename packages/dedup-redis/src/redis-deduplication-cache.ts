import { randomBytes } from 'node:crypto';
import {
  type Claim,
  type ClaimToken,
  type DeduplicationCache,
  type Health,
  MelangeError,
} from '@melange/core';
import type { OperationName } from './deduplication-script.ts';
import { OperationQueue } from './operation-queue.ts';
import { openClient } from './redis-client.ts';
import { RedisConnection, textOf } from './redis-connection.ts';
import type { RedisDeduplicationCacheOptions } from './redis-deduplication-cache-options.ts';
import { RedisWatch } from './redis-watch.ts';

const defaultTtlMs = 1_296_000_000;
const defaultTimeoutMs = 2_000;
const probeLeaseMs = 1_000;

/**
 * Remembers in Redis, for all processes that share it. Each call is one atomic step there, by Redis's clock alone;
 * calls of one moment share a round trip. It never waits longer than `timeoutMs`: what then has no answer is
 * refused with `CACHE_UNAVAILABLE`, and works again, without a restart, when Redis does.
 */
export class RedisDeduplicationCache implements DeduplicationCache {
  readonly #ttlMs: number;
  readonly #keyPrefix: string;
  readonly #connection: RedisConnection;
  readonly #queue: OperationQueue;
  readonly #watch: RedisWatch;
  readonly #instance = randomBytes(12).toString('base64url');
  #claims = 0;
  #closing: Promise<void> | undefined;

  /**
   * Connects in the background.
   *
   * @throws MelangeError `CONFIGURATION` when a lifetime is not above 0, the namespace contains `:`, or several of
   * `url`, `redis`, `cluster` and `client` are given.
   */
  constructor(options: RedisDeduplicationCacheOptions = {}) {
    const { prefix = 'melange', namespace = 'default' } = options;
    if (namespace.includes(':')) {
      throw new MelangeError('CONFIGURATION', `The namespace "${namespace}" must not contain ":".`);
    }
    this.#ttlMs = wholeMilliseconds('ttlMs', options.ttlMs ?? defaultTtlMs);
    const timeoutMs = wholeMilliseconds('timeoutMs', options.timeoutMs ?? defaultTimeoutMs);
    this.#keyPrefix = `${prefix}:${namespace}:`;
    this.#connection = new RedisConnection(openClient(options, timeoutMs), timeoutMs);
    this.#watch = new RedisWatch(options.logger);
    this.#queue = new OperationQueue(this.#connection, timeoutMs, this.#watch);
  }

  /** @throws MelangeError `CACHE_UNAVAILABLE` when Redis refuses or does not answer in time. */
  async claim(key: string, { leaseMs }: { readonly leaseMs: number }): Promise<Claim> {
    const lease = wholeMilliseconds('leaseMs', leaseMs);
    this.#claims += 1;
    const orphaned = this.#queue.orphanedFence(this.#keyPrefix + key);
    const token: ClaimToken = { key, fence: orphaned ?? `${this.#instance}.${this.#claims}` };
    const answer = await this.#ask('claim', token, lease, orphaned !== undefined);
    if (answer === 'claimed') return { status: 'claimed', token };
    const remainingMs = Number(answer.slice('done '.length));
    return answer.startsWith('done') ? { status: 'done', remainingMs } : { status: 'held', remainingMs };
  }

  /** @throws MelangeError `CACHE_UNAVAILABLE` when Redis refuses or does not answer in time. */
  async extend(token: ClaimToken, { leaseMs }: { readonly leaseMs: number }): Promise<boolean> {
    return (await this.#ask('extend', token, wholeMilliseconds('leaseMs', leaseMs))) === 'yes';
  }

  /** @throws MelangeError `CACHE_UNAVAILABLE` when Redis refuses or does not answer in time. */
  async confirm(token: ClaimToken): Promise<boolean> {
    return (await this.#ask('confirm', token, this.#ttlMs)) === 'yes';
  }

  /** @throws MelangeError `CACHE_UNAVAILABLE` when Redis refuses or does not answer in time. */
  async release(token: ClaimToken): Promise<void> {
    await this.#ask('release', token, 0);
  }

  /**
   * Claims and releases a key of its own, so that a Redis that answers but refuses to write is unhealthy, too.
   * `degraded` while a key that should be ours holds something else.
   */
  async health(): Promise<Health> {
    if (this.#closing !== undefined) return { status: 'unhealthy', detail: 'the Redis cache is closed' };
    const probe: ClaimToken = { key: `health:${this.#instance}`, fence: 'probe' };
    try {
      await Promise.all([this.#ask('claim', probe, probeLeaseMs), this.#ask('release', probe, 0)]);
      const key = this.#watch.foreignKey;
      if (key === undefined) return { status: 'healthy' };
      const type = await this.#connection.typeOf(key);
      if (type !== 'none' && type !== 'hash') {
        return { status: 'degraded', detail: `Redis: the key "${key}" is a ${type} of somebody else` };
      }
      this.#watch.forgetForeignKey();
      return { status: 'healthy' };
    } catch (error) {
      return { status: 'unhealthy', detail: textOf(error) };
    }
  }

  /** Lets calls under way finish, within the timeout, then closes the client unless it is the application's. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#queue.drain().then(() => this.#connection.close());
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #ask(
    name: OperationName,
    { key, fence }: ClaimToken,
    milliseconds: number,
    isRepeated = false,
  ): Promise<string> {
    if (this.#closing !== undefined) {
      throw new MelangeError('CLOSED', 'The deduplication cache is closed: close the dispatcher first.');
    }
    return this.#queue.run({ name, key: this.#keyPrefix + key, fence, milliseconds, isRepeated });
  }
}

/** Redis knows no fractions, and a lifetime of 0 would delete. */
function wholeMilliseconds(name: string, value: number): number {
  if (value > 0 && value <= Number.MAX_SAFE_INTEGER) return Math.ceil(value);
  throw new MelangeError('CONFIGURATION', `${name} must be above 0 and finite, not ${value}.`);
}
