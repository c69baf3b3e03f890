import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import type { ClaimToken, DeduplicationCache, MaybePromise } from '@melange/core';
import type { Behaviour } from '../behaviour.ts';
import { ClaimProcess } from './claim-process.ts';

/** A fresh cache, and its time. */
export interface CacheUnderTest {
  /** The suite closes it. */
  readonly cache: DeduplicationCache;
  /** Lets so many ms pass for the cache: moves its clock, or really waits where the store has its own. */
  readonly elapse: (milliseconds: number) => MaybePromise<void>;
  /** Makes one more cache on the same store, as another process would. Left out where there is none. */
  readonly another?: () => MaybePromise<DeduplicationCache>;
  /**
   * Starts a process with an IPC channel (`fork`) that calls `serveClaimer` with a cache on the same store. Left out
   * where processes share nothing. The suite ends it.
   */
  readonly startProcess?: () => ChildProcess;
  /**
   * Makes a cache on an empty store of its own that has room for less than 40,000 keys. Left out where that cannot
   * be set. The suite closes the cache.
   */
  readonly small?: () => MaybePromise<DeduplicationCache>;
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

/** A lease whose end is waited for. */
export const leaseMs = 600;

/** A lease that does not end while the suite looks, however busy the machine. */
export const longLeaseMs = 60_000;

/** How long done is remembered in the suite: longer than several leases, and than a busy machine takes to look. */
export const ttlMs = 4_000;

/** What one behaviour works with. */
export class CacheContext {
  readonly cache: DeduplicationCache;
  readonly subject: CacheUnderTest;
  readonly races: number;
  readonly opened: DeduplicationCache[];
  readonly #processes: ClaimProcess[] = [];
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

  /** Claims a key that must be free. Default: a lease that does not end meanwhile. */
  async claimed(key: string, milliseconds: number = longLeaseMs): Promise<ClaimToken> {
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

  /** A process with a cache on the same store, whose clock is wrong by so many ms. */
  async process(clockSkewMs = 0): Promise<ClaimProcess> {
    assert.ok(this.subject.startProcess !== undefined);
    const opened = await ClaimProcess.open(this.subject.startProcess(), { ttlMs, clockSkewMs });
    this.#processes.push(opened);
    return opened;
  }

  /** A cache with little room. */
  async small(): Promise<DeduplicationCache> {
    assert.ok(this.subject.small !== undefined);
    const cache = await this.subject.small();
    this.opened.push(cache);
    return cache;
  }

  async close(): Promise<void> {
    await Promise.all(this.#processes.map((process) => process.kill()));
    for (const cache of this.opened) await cache.close();
  }
}
