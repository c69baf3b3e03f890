import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test, vi } from 'vitest';
import { PostgresBackend } from '../src/index.ts';
import { drained, messageOf } from './support/backends.ts';

const directory = await mkdtemp(join(tmpdir(), 'melange-pglite-'));
afterAll(() => rm(directory, { recursive: true, force: true }));

const program = fileURLToPath(new URL('./support/publish-until-killed.ts', import.meta.url));

test('a process that is killed loses nothing that it had confirmed, and lets the next one in', async () => {
  const folder = join(directory, 'killed');
  const child = spawn(process.execPath, ['--import', 'tsx', program, folder, 'orders']);
  let stdout = '';
  let refused: unknown;
  const rejected: Promise<unknown>[] = [];
  child.stdout.on('data', (data: Buffer) => {
    stdout += data.toString();
    if (rejected.length > 0 || stdout.split('\n').length < 50) return;
    // While the other process has it.
    const second = new PostgresBackend({ directory: folder });
    const refusal = second.declareQueue('orders', {}).catch((error: unknown) => {
      refused = error;
    });
    rejected.push(refusal.then(() => second.close()).then(() => child.kill('SIGKILL')));
  });
  await once(child, 'exit');
  expect(refused).toMatchObject({
    message: expect.stringContaining('Another process has opened the PGlite folder'),
  });

  const confirmed = stdout.split('\n').slice(0, -1);
  await using backend = new PostgresBackend({ directory: folder, leaseMs: 1_000 });
  const came = new Set<string>();
  const subscription = await backend.subscribe('orders', { maxInFlight: 50 }, (delivery) => {
    came.add(delivery.message.id);
    void delivery.acknowledge();
  });
  await vi.waitFor(() => expect(confirmed.filter((id) => !came.has(id))).toEqual([]), { timeout: 30_000 });
  await subscription.close();
});

test('backends of one process share a folder; a queue, its topic and its messages are there when it is opened again', async () => {
  const folder = join(directory, 'shared');
  const one = new PostgresBackend({ directory: folder });
  const other = new PostgresBackend({ directory: folder });
  await one.declareQueue('orders', {
    topics: ['events'],
    filter: ['Placed'],
    deadLetterQueue: 'orders-dead',
  });
  const received: string[] = [];
  const subscription = await other.subscribe('orders', { maxInFlight: 1 }, async (delivery) => {
    received.push(delivery.message.id);
    await delivery.deadLetter({ reason: 'test' });
  });
  await one.publishToTopic('events', [
    messageOf({ id: 'a', manifest: 'Placed' }),
    messageOf({ id: 'b', manifest: 'Other' }),
  ]);
  await vi.waitFor(() => expect(received).toEqual(['a']));
  await subscription.close();
  await one.close();
  await other.publishToQueue('orders', [messageOf({ id: 'c', key: 'k' })], { delayMs: 1 });
  await other.close();

  await using again = new PostgresBackend({ directory: folder });
  expect(await again.describeQueue('orders')).toMatchObject({
    deadLetterQueue: 'orders-dead',
    topics: ['events'],
    filter: ['Placed'],
  });
  expect((await drained(again, 'orders-dead')).map(({ message }) => message.headers.melange_reason)).toEqual([
    'test',
  ]);
  expect((await drained(again, 'orders')).map(({ message }) => message.id)).toEqual(['c']);
});
