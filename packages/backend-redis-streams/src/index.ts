export { RedisStreamsBackend } from './redis-streams-backend.ts';
export { redisStreamsCapabilities } from './redis-streams-capabilities.ts';
export type { RedisStreamsBackendOptions } from './redis-streams-options.ts';
