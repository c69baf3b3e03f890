import type { Claim, DeduplicationCache } from '@melange/core';
import { MemoryDeduplicationCache } from '@melange/dedup-memory';
import type { ManualClock } from './manual-clock.ts';

/** A cache that can be away: it refuses at once. */
export class AwayCache implements DeduplicationCache {
  readonly #cache: MemoryDeduplicationCache;
  isAway = true;
  claims = 0;
  /** Keys that it fails at though it is there. */
  poisoned: RegExp = /^$/;

  constructor(clock: ManualClock) {
    this.#cache = new MemoryDeduplicationCache({ clock });
  }

  claim(key: string, options: { readonly leaseMs: number }): Claim {
    this.claims += 1;
    this.#assertThere();
    if (this.poisoned.test(key)) throw new Error('WRONGTYPE');
    return this.#cache.claim(key, options);
  }
  extend(...parameters: Parameters<DeduplicationCache['extend']>): boolean {
    this.#assertThere();
    return this.#cache.extend(...parameters);
  }
  confirm(...parameters: Parameters<DeduplicationCache['confirm']>): boolean {
    this.#assertThere();
    return this.#cache.confirm(...parameters);
  }
  release(...parameters: Parameters<DeduplicationCache['release']>): void {
    this.#assertThere();
    this.#cache.release(...parameters);
  }
  health(): { readonly status: 'healthy' } {
    return { status: 'healthy' };
  }
  close(): void {}

  #assertThere(): void {
    if (this.isAway) throw new Error('connection refused');
  }
}
