import { canStartHere, startPostgres } from '@melange/brokers';
import { describeBackend } from '@melange/conformance';
import { type Logger, warningLogger } from '@melange/core';
import { afterAll, test } from 'vitest';
import { PostgresBackend, postgresCapabilities } from '../src/index.ts';

const { POSTGRES_URL: url } = process.env;
const leaseMs = 2_000;

if (url === undefined) {
  test.skip('the conformance suite on Postgres: there is none', () => undefined);
} else {
  // Its restarts would be seen by other test files, which run at the same time.
  const own = canStartHere('postgres') ? await startPostgres() : undefined;
  afterAll(() => own?.stop());
  const { hostname: host, port, username, password, pathname } = new URL(own?.url ?? url);
  const target = { host, port: Number(port || 5432) };
  const credentials = password === '' ? username : `${username}:${password}`;
  const connect = (address = target, logger: Logger = warningLogger): PostgresBackend =>
    new PostgresBackend({
      url: `postgres://${credentials}@${address.host}:${address.port}${pathname}`,
      schema: 'conformance',
      logger,
      leaseMs,
    });

  describeBackend({
    name: 'postgres',
    create: () => ({ backend: connect(), another: connect }),
    capabilities: postgresCapabilities,
    leaseMs,
    faults: { target, create: connect, ...(own !== undefined && { restart: () => own.restart() }) },
  });
}
