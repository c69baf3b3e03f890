export { type Inbox, type InTransactionOptions, inTransaction } from './in-transaction.ts';
export { PostgresDeduplicationCache } from './postgres-deduplication-cache.ts';
export type { PostgresDeduplicationCacheOptions } from './postgres-deduplication-cache-options.ts';
