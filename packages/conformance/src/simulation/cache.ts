import { type Claim, type ClaimToken, type DeduplicationCache, MelangeError } from '@melange/core';
import type { Network } from './network.ts';

interface Entry {
  fence: string;
  leaseEndsAt: number;
  isDone: boolean;
}

/** The store that the caches of all processes share. */
export class CacheStore {
  readonly #entries = new Map<string, Entry>();
  readonly #now: () => number;
  #awayUntil = 0;
  #fences = 0;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** From now on it answers nothing, for so many ms. */
  goAway(forMs: number): void {
    this.#awayUntil = Math.max(this.#awayUntil, this.#now() + forMs);
  }

  claim(key: string, leaseMs: number): Claim {
    const now = this.#now();
    const entry = this.#entries.get(key);
    if (entry?.isDone === true) return { status: 'done' };
    if (entry !== undefined && entry.leaseEndsAt > now) return { status: 'held' };
    this.#fences += 1;
    const fence = String(this.#fences);
    this.#entries.set(key, { fence, leaseEndsAt: now + leaseMs, isDone: false });
    return { status: 'claimed', token: { key, fence } };
  }

  /** Applies a change for the holder of the token; false when somebody else is. */
  change({ key, fence }: ClaimToken, change: (entry: Entry, now: number) => void): boolean {
    const entry = this.#entries.get(key);
    if (entry === undefined || entry.fence !== fence || entry.isDone) return false;
    change(entry, this.#now());
    return true;
  }

  assertHere(): void {
    if (this.#now() < this.#awayUntil) throw new MelangeError('CACHE_UNAVAILABLE', 'the cache is away');
  }
}

/** The cache of one process. */
export function simulatedCache(store: CacheStore, network: Network): DeduplicationCache {
  const ask = <Answer>(request: () => Answer): Promise<Answer> =>
    network.ask(() => {
      store.assertHere();
      return request();
    });
  return {
    claim: (key, { leaseMs }) => ask(() => store.claim(key, leaseMs)),
    extend: (token, { leaseMs }) =>
      ask(() =>
        store.change(token, (entry, now) => {
          entry.leaseEndsAt = now + leaseMs;
        }),
      ),
    confirm: (token) =>
      ask(() =>
        store.change(token, (entry) => {
          entry.isDone = true;
        }),
      ),
    release: (token) =>
      ask(() => {
        store.change(token, (entry) => {
          entry.leaseEndsAt = 0;
        });
      }),
    health: () => ({ status: 'healthy' }),
    close: () => undefined,
  };
}
