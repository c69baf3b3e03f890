import type { Clock } from '@melange/core';

/** Settings of `MemoryDeduplicationCache`. */
export interface MemoryDeduplicationCacheOptions {
  /** How long a done key is remembered, in ms. Default: 86,400,000 (24 hours). */
  readonly ttlMs?: number;
  /** Bound of the keys remembered, claimed and done together. Default: 100,000. */
  readonly maxEntries?: number;
  /** Time of leases and lifetimes. Default: the machine's. */
  readonly clock?: Clock;
}
