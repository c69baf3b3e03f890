export { RedisDeduplicationCache } from './redis-deduplication-cache.ts';
export type { RedisDeduplicationCacheOptions } from './redis-deduplication-cache-options.ts';
