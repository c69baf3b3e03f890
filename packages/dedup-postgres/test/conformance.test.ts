import { fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { describeDeduplicationCache } from '@melange/conformance';
import { silentLogger } from '@melange/core';
import { openPostgres, type PostgresConnection } from '@melange/postgres';
import { afterAll, beforeAll, describe } from 'vitest';
import { PostgresDeduplicationCache } from '../src/index.ts';

const url = process.env.POSTGRES_URL ?? '';
const program = fileURLToPath(new URL('support/claimer.ts', import.meta.url));
const schema = `test_${randomUUID().replaceAll('-', '')}`;

describe.skipIf(url === '')('with a Postgres (skipped without POSTGRES_URL)', () => {
  let connection: PostgresConnection;
  beforeAll(() => {
    connection = openPostgres({ url, logger: silentLogger });
  });
  afterAll(async () => {
    await connection.execute(`drop schema if exists "${schema}" cascade`, []);
    await connection.close();
  });

  describeDeduplicationCache({
    name: 'postgres',
    races: 200,
    create: ({ ttlMs }) => {
      const open = () => new PostgresDeduplicationCache({ connection, schema, ttlMs });
      return {
        cache: open(),
        another: open,
        startProcess: () => fork(program, [url, schema], { execArgv: ['--import', 'tsx'] }),
        elapse: (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds)),
      };
    },
  });
});
