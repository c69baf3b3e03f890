export { PostgresBackend } from './backend.ts';
export { postgresCapabilities } from './capabilities.ts';
export type { PostgresBackendOptions } from './options.ts';
