import type { BackendOptions } from '@melange/backend-kit';
import { checkDelayMs, checkWholeNumber } from '@melange/core/adapter';
import { checkPostgresOptions, type PostgresOptions } from '@melange/postgres';

/** Settings of `PostgresBackend`: exactly one of `url`, `pool`, `directory` and `pglite`. */
export interface PostgresBackendOptions extends BackendOptions, PostgresOptions {
  /**
   * For how long a message is given, in ms, renewed while its handler runs: the messages of a process that crashed come again after it.
   * Default: 30,000.
   */
  readonly leaseMs?: number;
  /**
   * Longest pause between two looks for messages, in ms, where notifications come; a message that was published wakes its subscribers at
   * once. Without notifications a fifth of it. Default: 1,000.
   */
  readonly pollMs?: number;
  /** Longest wait for the answer to a statement, in ms; then its connection is given up. Default: `requestTimeoutMs`. */
  readonly statementTimeoutMs?: number;
}

/** Settings with their defaults. */
export interface PostgresSettings extends PostgresOptions {
  readonly schema: string;
  readonly connectTimeoutMs: number;
  readonly leaseMs: number;
  readonly pollMs: number;
}

/** @throws MelangeError `CONFIGURATION` when a value makes no sense. */
export function settingsOf(options: PostgresBackendOptions): PostgresSettings {
  const { leaseMs = 30_000, pollMs = 1_000, connectTimeoutMs = 10_000, requestTimeoutMs = 10_000 } = options;
  checkPostgresOptions(options);
  checkWholeNumber('leaseMs', leaseMs, 1_000);
  checkWholeNumber('pollMs', pollMs, 10);
  checkDelayMs('connectTimeoutMs', connectTimeoutMs);
  const { schema = 'melange', statementTimeoutMs = requestTimeoutMs } = options;
  return { ...options, schema, connectTimeoutMs, statementTimeoutMs, leaseMs, pollMs };
}
