export { describeBackend } from './backend/describe-backend.ts';
export type { BackendFaults, BackendSuiteOptions, BackendUnderTest } from './backend/suite-options.ts';
export type { CacheSuiteOptions, CacheUnderTest } from './cache/cache-context.ts';
export { describeDeduplicationCache } from './cache/describe-deduplication-cache.ts';
export { describeSerializer } from './serializer/describe-serializer.ts';
export type { SameAssertion, SerializerSuiteOptions } from './serializer/serializer-context.ts';
export { type Address, type ProxyDirection, TcpProxy } from './tcp-proxy.ts';
