import type { Clock } from '@melange/core';

/** Settings of `MemoryDeduplicationCache`. */
export interface MemoryDeduplicationCacheOptions {
  /**
   * How long a done key is remembered, in ms: longer than any broker redelivers. Default: 1,296,000,000 (15 days, as
   * SQS keeps messages for 14 at most).
   */
  readonly ttlMs?: number;
  /** Bound of the keys remembered, claimed and done together. Default: 100,000. */
  readonly maxEntries?: number;
  /** Time of leases and lifetimes. Default: the machine's. */
  readonly clock?: Clock;
}
