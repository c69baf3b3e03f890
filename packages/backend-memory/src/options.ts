import type { Clock, Logger } from '@melange/core';

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
  readonly leaseMs?: number | undefined;
  /** Time of delays and leases. Default: the machine's. */
  readonly clock?: Clock;
  /** Told of trouble and recovery. Default: warnings and errors to standard error. */
  readonly logger?: Logger;
}
