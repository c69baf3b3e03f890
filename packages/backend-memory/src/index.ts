export { MemoryBackend, memoryCapabilities } from './backend.ts';
export type { MemoryBackendOptions } from './options.ts';
export { type LinkOptions, linkSynchronously } from './publish/link-synchronously.ts';
