export { type LinkOptions, linkSynchronously } from './link-synchronously.ts';
export { MemoryBackend, memoryCapabilities } from './memory-backend.ts';
export type { MemoryBackendOptions } from './memory-options.ts';
