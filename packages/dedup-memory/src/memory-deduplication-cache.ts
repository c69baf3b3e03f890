import {
  type Claim,
  type ClaimToken,
  type Clock,
  type DeduplicationCache,
  type Health,
  MelangeError,
  systemClock,
} from '@melange/core';
import type { MemoryDeduplicationCacheOptions } from './memory-deduplication-cache-options.ts';

interface Lease {
  readonly fence: string;
  expiresAt: number;
}

/**
 * Remembers within one process, and answers at once. Expired entries go when they are met or when room is
 * needed: there is no timer. When it is full, the oldest done keys are forgotten, live claims never; a claim
 * that finds nothing but live claims is refused with `CACHE_UNAVAILABLE`.
 */
export class MemoryDeduplicationCache implements DeduplicationCache {
  readonly #ttlMs: number;
  readonly #maxEntries: number;
  readonly #clock: Clock;
  /** Claims, those renewed last at the end: where all leases are equally long, that is the order of expiry. */
  readonly #leases = new Map<string, Lease>();
  /** When each done key is forgotten; all live equally long, so the order of insertion is that of expiry. */
  readonly #done = new Map<string, number>();
  /**
   * Stands before the oldest done key. One that goes on, for a new one would step over every key that was forgotten
   * since the map was last tidied: half of them, on average, at each claim of a full cache.
   */
  #oldestDone = this.#done.keys();
  #claims = 0;
  /** No lease ends before this time, so that a full cache is not searched in vain at every claim. */
  #noLeaseEndsBefore = Number.NEGATIVE_INFINITY;

  /** @throws MelangeError `CONFIGURATION` when `ttlMs` or `maxEntries` is not above 0. */
  constructor(options: MemoryDeduplicationCacheOptions = {}) {
    this.#ttlMs = positive('ttlMs', options.ttlMs ?? 1_296_000_000);
    this.#maxEntries = positive('maxEntries', options.maxEntries ?? 100_000);
    this.#clock = options.clock ?? systemClock;
  }

  /** Keys remembered, expired ones that were not met since included. */
  get size(): number {
    return this.#leases.size + this.#done.size;
  }

  /** @throws MelangeError `CACHE_UNAVAILABLE` when the cache is full of live claims. */
  claim(key: string, { leaseMs }: { readonly leaseMs: number }): Claim {
    const now = this.#clock.monotonicNow();
    const forgottenAt = this.#done.get(key);
    if (forgottenAt !== undefined) {
      if (forgottenAt > now) return { status: 'done' };
      this.#done.delete(key);
    }
    const lease = this.#leases.get(key);
    if (lease !== undefined && lease.expiresAt > now) return { status: 'held' };
    if (lease === undefined) this.#makeRoom(now);
    this.#claims += 1;
    const fence = String(this.#claims);
    const expiresAt = now + leaseMs;
    this.#putLast(key, { fence, expiresAt });
    this.#noLeaseEndsBefore = Math.min(this.#noLeaseEndsBefore, expiresAt);
    return { status: 'claimed', token: { key, fence } };
  }

  extend(token: ClaimToken, { leaseMs }: { readonly leaseMs: number }): boolean {
    const lease = this.#leaseOf(token);
    if (lease === undefined) return false;
    lease.expiresAt = Math.max(lease.expiresAt, this.#clock.monotonicNow() + leaseMs);
    this.#putLast(token.key, lease);
    return true;
  }

  confirm(token: ClaimToken): boolean {
    if (this.#leaseOf(token) === undefined) return false;
    this.#leases.delete(token.key);
    this.#done.set(token.key, this.#clock.monotonicNow() + this.#ttlMs);
    return true;
  }

  release(token: ClaimToken): void {
    if (this.#leaseOf(token) !== undefined) this.#leases.delete(token.key);
  }

  health(): Health {
    if (this.#leases.size < this.#maxEntries) return { status: 'healthy' };
    return { status: 'degraded', detail: `full of ${this.#leases.size} claims: raise maxEntries` };
  }

  close(): void {
    this.#leases.clear();
    this.#done.clear();
  }

  /** The lease, if it is still this token's; one that ran out is nobody's, though nobody took it over yet. */
  #leaseOf({ key, fence }: ClaimToken): Lease | undefined {
    const lease = this.#leases.get(key);
    return lease?.fence === fence && lease.expiresAt > this.#clock.monotonicNow() ? lease : undefined;
  }

  #putLast(key: string, lease: Lease): void {
    this.#leases.delete(key);
    this.#leases.set(key, lease);
  }

  /** What no longer counts goes first: a lease that ran out, then the oldest done key. */
  #makeRoom(now: number): void {
    if (this.size < this.#maxEntries) return;
    const [first] = this.#leases;
    if (first !== undefined && first[1].expiresAt <= now) {
      this.#leases.delete(first[0]);
      return;
    }
    const oldest = this.#nextDone();
    if (oldest !== undefined) {
      this.#done.delete(oldest);
      return;
    }
    this.#dropExpiredLeases(now);
    if (this.size < this.#maxEntries) return;
    throw new MelangeError(
      'CACHE_UNAVAILABLE',
      `All ${this.#maxEntries} entries are live claims: raise maxEntries.`,
    );
  }

  #nextDone(): string | undefined {
    if (this.#done.size === 0) return undefined;
    let next = this.#oldestDone.next();
    if (next.done === true) {
      this.#oldestDone = this.#done.keys();
      next = this.#oldestDone.next();
    }
    return next.value;
  }

  #dropExpiredLeases(now: number): void {
    if (now < this.#noLeaseEndsBefore) return;
    let earliest = Number.POSITIVE_INFINITY;
    for (const [key, { expiresAt }] of this.#leases) {
      if (expiresAt <= now) this.#leases.delete(key);
      else earliest = Math.min(earliest, expiresAt);
    }
    this.#noLeaseEndsBefore = earliest;
  }
}

function positive(name: string, value: number): number {
  if (value > 0) return value;
  throw new MelangeError('CONFIGURATION', `${name} must be above 0, not ${value}.`);
}
