export type { PostgresConnection } from './connection.ts';
export { reasonUnavailable } from './errors.ts';
export type { SqlExecutor, SqlResult } from './executor.ts';
export type { ClientPool, EmbeddedPostgres } from './libraries.ts';
export { type MigrateOptions, type Migration, migrate } from './migrate.ts';
export { openPostgres } from './open.ts';
export { checkPostgresOptions, type PostgresOptions, quoteIdentifier } from './options.ts';
