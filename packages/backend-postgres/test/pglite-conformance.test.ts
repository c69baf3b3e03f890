import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeBackend } from '@melange/conformance';
import { afterAll, test } from 'vitest';
import { PostgresBackend, postgresCapabilities } from '../src/index.ts';

// It is the same code on a slower Postgres, and keeps a core busy: `pglite.test.ts` is what every run has of it.
if (process.env.MELANGE_PGLITE !== 'all') {
  test.skip('the conformance suite on PGlite: every night, or with MELANGE_PGLITE=all', () => undefined);
} else {
  const directory = await mkdtemp(join(tmpdir(), 'melange-pglite-'));
  const connect = (): PostgresBackend => new PostgresBackend({ directory, leaseMs: 2_000 });
  // Else each test would open and close the folder anew, which takes a second.
  const open = connect();
  await open.declareTopic('open');
  afterAll(async () => {
    await open.close();
    await rm(directory, { recursive: true, force: true });
  });

  describeBackend({
    name: 'postgres on PGlite',
    // There is no connection to break; a process that is killed is another test's.
    create: () => ({ backend: connect(), another: connect }),
    capabilities: postgresCapabilities,
    leaseMs: 2_000,
  });
}
