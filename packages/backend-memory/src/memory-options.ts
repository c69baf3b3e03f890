import type { Clock } from '@melange/core';

/** Settings of `MemoryBackend`. */
export interface MemoryBackendOptions {
  /**
   * Bound of the messages that one queue holds, those in flight and delayed included. Publishing beyond it is
   * a `PublishError` whose failures are `QUEUE_FULL`. Default: 1,000,000.
   */
  readonly maxMessages?: number;
  /**
   * A delivery unsettled for so many ms is taken back and delivered again, as a broker does whose subscriber
   * went silent. Default: none, for the subscriber lives and dies with this process.
   */
  readonly leaseMs?: number;
  /** Time of delays and leases. Default: the machine's. */
  readonly clock?: Clock;
}
