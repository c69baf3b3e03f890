import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openPostgres, type PostgresConnection, type PostgresOptions } from '../../src/index.ts';

/** Address of the server of this run, where there is one. */
export const serverUrl: string | undefined = process.env.POSTGRES_URL;

/** A name of its own, for schemas, users and channels. */
export function ownName(): string {
  return `test_${randomUUID().replaceAll('-', '')}`;
}

/** A folder that is removed again. */
export async function ownFolder(): Promise<{ readonly path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), 'melange-pglite-'));
  const remove = (file: string): Promise<void> => rm(file, { recursive: true, force: true });
  return {
    path,
    async [Symbol.asyncDispose]() {
      await remove(path);
      await remove(`${path}.lock`);
    },
  };
}

/** Executes as superuser, on a connection of its own. */
export async function asAdmin(
  sql: string,
  options: PostgresOptions = { url: serverUrl as string },
): Promise<void> {
  const admin = openPostgres(options);
  try {
    await admin.execute(sql, []);
  } finally {
    await admin.close();
  }
}

/** Keeps log lines. */
export function keptLines(): {
  readonly lines: string[];
  readonly logger: NonNullable<PostgresOptions['logger']>;
} {
  const lines: string[] = [];
  const at = (level: string) => (message: string) => void lines.push(`${level}: ${message}`);
  return {
    lines,
    logger: { debug: () => undefined, info: at('info'), warn: at('warn'), error: at('error') },
  };
}

export type { PostgresConnection };
