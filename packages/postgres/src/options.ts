import { type Logger, MelangeError } from '@melange/core';
import type { ClientPool, EmbeddedPostgres } from './libraries.ts';

/** Where the database is: exactly one of `url`, `pool`, `directory` and `pglite`. */
export interface PostgresOptions {
  /** Address of a server: `postgres://user:password@host:5432/database`. */
  readonly url?: string;
  /** A pool of `pg`, for what the address does not say: TLS, passwords that change. It stays the caller's to end. */
  readonly pool?: ClientPool;
  /**
   * Folder of a PGlite, a Postgres inside of this process: made if it is missing. One process at a time opens it; all that one process
   * opens there share it. Needs the package `@electric-sql/pglite`.
   */
  readonly directory?: string;
  /** A PGlite, for what the folder does not say. It stays the caller's to close. */
  readonly pglite?: EmbeddedPostgres;
  /** Schema of Melange's tables. Default: `melange`. */
  readonly schema?: string;
  /** Most connections to the server at `url`, besides the one that listens. Default: 10. */
  readonly maxConnections?: number;
  /** Longest time to connect to the server at `url`, in ms. Default: 10,000. */
  readonly connectTimeoutMs?: number;
  /** Longest wait for the answer to a statement, in ms; then its connection is given up. Default: 30,000. */
  readonly statementTimeoutMs?: number;
  /** Told of trouble and recovery. Default: warnings and errors to standard error. */
  readonly logger?: Logger;
}

/**
 * Refuses options before anything is connected.
 *
 * @throws MelangeError `CONFIGURATION` unless there is exactly one source, and a schema that Postgres takes.
 */
export function checkPostgresOptions(options: PostgresOptions): void {
  const sources = (['url', 'pool', 'directory', 'pglite'] as const).filter(
    (name) => options[name] !== undefined,
  );
  if (sources.length !== 1)
    throw new MelangeError(
      'CONFIGURATION',
      `Give exactly one of url, pool, directory and pglite, not ${sources.length === 0 ? 'none' : sources.join(' and ')}.`,
    );
  const { url, directory, schema = defaultSchema } = options;
  if (url !== undefined && !/^postgres(ql)?:\/\//.test(url))
    throw new MelangeError(
      'CONFIGURATION',
      'url must be an address such as postgres://user:password@localhost:5432/database.',
    );
  if (directory === '') throw new MelangeError('CONFIGURATION', 'directory must not be empty.');
  if (schema === '' || schema.includes('\0') || Buffer.byteLength(schema) > 63 || schema.startsWith('pg_'))
    throw new MelangeError(
      'CONFIGURATION',
      `The schema "${schema}" is none that Postgres takes: use 1 to 63 bytes that do not begin with pg_.`,
    );
}

/** Default of `PostgresOptions.schema`. */
export const defaultSchema = 'melange';

/** The name as SQL takes it, whatever is in it. */
export function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
