import type { PostgresConnection } from '@melange/postgres';

/** What a cache is made of. */
export interface PostgresDeduplicationCacheOptions {
  /** Where the keys are. Stays the caller's to close. */
  readonly connection: PostgresConnection;
  /** Schema of Melange's tables. Default: `melange`. */
  readonly schema?: string;
  /**
   * Keeps groups apart that share a schema and whose queues may be named alike: the same queue, consumer and message in two
   * namespaces are two keys. Without `:`, so that no two namespaces can meet. Default: `default`.
   */
  readonly namespace?: string;
  /**
   * How long a done key is remembered, in ms: longer than any broker redelivers. Default: 1,296,000,000 (15 days, as SQS keeps
   * messages for 14 at most).
   */
  readonly ttlMs?: number;
  /** Bound of one answer in ms. Keep it below the dispatcher's `deduplication.timeoutMs` (5,000). Default: 4,000. */
  readonly timeoutMs?: number;
}
