import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeBackend } from '@melange/conformance';
import { afterAll } from 'vitest';
import { PostgresBackend, postgresCapabilities } from '../src/index.ts';

const directory = await mkdtemp(join(tmpdir(), 'melange-pglite-'));
afterAll(async () => {
  await rm(directory, { recursive: true, force: true });
});

const connect = (): PostgresBackend => new PostgresBackend({ directory, leaseMs: 2_000 });
// Else each test would open and close the folder anew, which takes a second.
const open = connect();
await open.declareTopic('open');
afterAll(() => open.close());

describeBackend({
  name: 'postgres on PGlite',
  create: () => ({ backend: connect(), another: connect }),
  // There is no connection to break; a process that ends is another test's.
  capabilities: postgresCapabilities,
  leaseMs: 2_000,
});
