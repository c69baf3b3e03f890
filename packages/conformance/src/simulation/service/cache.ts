import {
  type ClaimToken,
  type Clock,
  type DeduplicationCache,
  type MaybePromise,
  MelangeError,
} from '@melange/core';
import { MemoryDeduplicationCache } from '@melange/dedup-memory';
import type { Network } from '../broker/network.ts';

/** The store that the caches of all processes share, with the logic of the memory cache: its time is the one that counts. */
export class CacheStore {
  readonly #clock: Clock;
  readonly #logic: MemoryDeduplicationCache;
  #awayUntil = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#logic = new MemoryDeduplicationCache({ clock });
  }

  /** From now on it answers nothing, for so many ms. */
  goAway(forMs: number): void {
    this.#awayUntil = Math.max(this.#awayUntil, this.#clock.monotonicNow() + forMs);
  }

  /** Loses all that it knows. */
  forget(): void {
    // Not a new one: that would give the same fences again, which no store does.
    this.#logic.close();
  }

  /**
   * What answers requests.
   *
   * @throws MelangeError `CACHE_UNAVAILABLE` while it is away.
   */
  get logic(): DeduplicationCache {
    if (this.#clock.monotonicNow() < this.#awayUntil)
      throw new MelangeError('CACHE_UNAVAILABLE', 'the cache is away');
    return this.#logic;
  }
}

/** What one process asked of its cache. */
export class CacheUse {
  /** The claim that was given last, by key. */
  readonly claims: Map<string, ClaimToken> = new Map();
  /** What was asked with a token, as `confirm 17`. */
  readonly asked: Set<string> = new Set();
}

/** The cache of one process. */
export function simulatedCache(store: CacheStore, network: Network, use: CacheUse): DeduplicationCache {
  const ask = async <Answer>(request: (logic: DeduplicationCache) => MaybePromise<Answer>): Promise<Answer> =>
    network.ask(() => request(store.logic));
  return {
    async claim(key, lease) {
      const claim = await ask((logic) => logic.claim(key, lease));
      if (claim.status === 'claimed') use.claims.set(key, claim.token);
      return claim;
    },
    extend: (token, lease) => ask((logic) => logic.extend(token, lease)),
    confirm(token) {
      use.asked.add(`confirm ${token.fence}`);
      return ask((logic) => logic.confirm(token));
    },
    release(token) {
      use.asked.add(`release ${token.fence}`);
      return ask((logic) => logic.release(token));
    },
    health: () => ({ status: 'healthy' }),
    close: () => undefined,
  };
}
