export { MemoryBackend, type MemoryMethods } from './backend.ts';
export { memoryCapabilities } from './capabilities.ts';
export type { MemoryBackendOptions } from './options.ts';
export type { Interceptable, Interceptor } from './publish/interception.ts';
export { type LinkOptions, linkSynchronously } from './publish/link-synchronously.ts';
