export { NatsBackend } from './backend.ts';
export { natsCapabilities } from './capabilities.ts';
export type { NatsBackendOptions } from './options.ts';
