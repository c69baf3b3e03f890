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
 * needed: there is no timer. When it is full, the oldest done keys are forgotten first, claims never; a claim
 * that finds nothing but live claims is refused with `CACHE_UNAVAILABLE`.
 */
export class MemoryDeduplicationCache implements DeduplicationCache {
  readonly #ttlMs: number;
  readonly #maxEntries: number;
  readonly #clock: Clock;
  readonly #leases = new Map<string, Lease>();
  /** When each done key is forgotten; all live equally long, so the order of insertion is that of expiry. */
  readonly #done = new Map<string, number>();
  #claims = 0;

  /** @throws MelangeError `CONFIGURATION` when `ttlMs` or `maxEntries` is not above 0. */
  constructor(options: MemoryDeduplicationCacheOptions = {}) {
    this.#ttlMs = positive('ttlMs', options.ttlMs ?? 86_400_000);
    this.#maxEntries = positive('maxEntries', options.maxEntries ?? 100_000);
    this.#clock = options.clock ?? systemClock;
  }

  /** Keys remembered, expired ones that were not met since included. */
  get size(): number {
    return this.#leases.size + this.#done.size;
  }

  claim(key: string, { leaseMs }: { readonly leaseMs: number }): Claim {
    const now = this.#clock.now();
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
    this.#leases.set(key, { fence, expiresAt: now + leaseMs });
    return { status: 'claimed', token: { key, fence } };
  }

  extend(token: ClaimToken, { leaseMs }: { readonly leaseMs: number }): boolean {
    const lease = this.#leaseOf(token);
    if (lease === undefined) return false;
    lease.expiresAt = Math.max(lease.expiresAt, this.#clock.now() + leaseMs);
    return true;
  }

  confirm(token: ClaimToken): boolean {
    if (this.#leaseOf(token) === undefined) return false;
    this.#leases.delete(token.key);
    this.#done.set(token.key, this.#clock.now() + this.#ttlMs);
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
    return lease?.fence === fence && lease.expiresAt > this.#clock.now() ? lease : undefined;
  }

  #makeRoom(now: number): void {
    if (this.size < this.#maxEntries) return;
    const oldest = this.#done.keys().next();
    if (oldest.done !== true) {
      this.#done.delete(oldest.value);
      return;
    }
    for (const [key, lease] of this.#leases) if (lease.expiresAt <= now) this.#leases.delete(key);
    if (this.size < this.#maxEntries) return;
    throw new MelangeError(
      'CACHE_UNAVAILABLE',
      `All ${this.#maxEntries} entries are live claims: raise maxEntries.`,
    );
  }
}

function positive(name: string, value: number): number {
  if (value > 0) return value;
  throw new MelangeError('CONFIGURATION', `${name} must be above 0, not ${value}.`);
}
