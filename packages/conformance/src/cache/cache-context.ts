import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { ClaimToken, DeduplicationCache, MaybePromise } from '@melange/core';
import type { Behaviour } from '../behaviour.ts';

/** A fresh cache, and its time. */
export interface CacheUnderTest {
  /** The suite closes it. */
  readonly cache: DeduplicationCache;
  /** Lets so many ms pass for the cache: moves its clock, or really waits where the store has its own. */
  readonly elapse: (milliseconds: number) => MaybePromise<void>;
  /** Makes one more cache on the same store, as another process would. Left out where there is none. */
  readonly another?: () => MaybePromise<DeduplicationCache>;
}

/** What `describeDeduplicationCache` needs to know. */
export interface CacheSuiteOptions {
  /** Name in the output and in the table. */
  readonly name: string;
  /** Called once for each behaviour. `ttlMs`: how long the cache remembers what is done. */
  readonly create: (settings: { readonly ttlMs: number }) => MaybePromise<CacheUnderTest>;
  /** Rounds of the race for one key. Default: 1,000. */
  readonly races?: number;
}

/** A behaviour of a deduplication cache. */
export type CacheBehaviour = Behaviour<CacheContext>;

/** Long enough that no lease ends by itself between two calls, short enough to wait for. */
export const leaseMs = 400;

/** How long done is remembered in the suite: longer than several leases. */
export const ttlMs = 2_000;

/** What one behaviour works with. */
export class CacheContext {
  readonly cache: DeduplicationCache;
  readonly subject: CacheUnderTest;
  readonly races: number;
  readonly opened: DeduplicationCache[];
  readonly #prefix = `conformance-${randomUUID()}`;
  #keys = 0;

  private constructor(subject: CacheUnderTest, races: number) {
    this.subject = subject;
    this.cache = subject.cache;
    this.opened = [subject.cache];
    this.races = races;
  }

  static async open(options: CacheSuiteOptions): Promise<CacheContext> {
    return new CacheContext(await options.create({ ttlMs }), options.races ?? 1_000);
  }

  /** A key that nobody else uses. */
  key(suffix = ''): string {
    this.#keys += 1;
    return `${this.#prefix}:${this.#keys}${suffix}`;
  }

  async elapse(milliseconds: number): Promise<void> {
    await this.subject.elapse(milliseconds);
  }

  /** Claims a key that must be free. */
  async claimed(key: string, milliseconds: number = leaseMs): Promise<ClaimToken> {
    const claim = await this.cache.claim(key, { leaseMs: milliseconds });
    assert.equal(claim.status, 'claimed', `"${key}" should be free`);
    return (claim as { readonly token: ClaimToken }).token;
  }

  /** What a claim of the key answers; one that is granted is given back at once. */
  async status(key: string): Promise<'claimed' | 'done' | 'held'> {
    const claim = await this.cache.claim(key, { leaseMs });
    if (claim.status === 'claimed') await this.cache.release(claim.token);
    return claim.status;
  }

  async close(): Promise<void> {
    for (const cache of this.opened) await cache.close();
  }
}
