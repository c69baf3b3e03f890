export { RedisStreamsBackend } from './backend.ts';
export { redisStreamsCapabilities } from './capabilities.ts';
export type { RedisStreamsBackendOptions } from './options.ts';
