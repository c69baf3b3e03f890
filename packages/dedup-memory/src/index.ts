export { MemoryDeduplicationCache } from './memory-deduplication-cache.ts';
export type { MemoryDeduplicationCacheOptions } from './memory-deduplication-cache-options.ts';
