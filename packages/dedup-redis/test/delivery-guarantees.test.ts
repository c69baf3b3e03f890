import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { MemoryBackend } from '@melange/backend-memory';
import { MessageDispatcher, QueuePublisher, SerializerRegistry, silentLogger } from '@melange/core';
import { JsonSerializer } from '@melange/serializer-json';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { openCache } from './support/servers.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../../..', import.meta.url));
const url = process.env.REDIS_URL ?? '';
const serializers = new SerializerRegistry({ serializers: { json: new JsonSerializer() }, default: 'json' });

test('the example of docs/delivery-guarantees.md compiles, runs, and pays once', {
  timeout: 60_000,
}, async () => {
  const page = await readFile(`${root}docs/delivery-guarantees.md`, 'utf8');
  const example = /```ts\n([\s\S]*?)```/.exec(page)?.[1] ?? '';
  // In the root, where an application's own files see the packages.
  const file = `${root}delivery-guarantees-${process.pid}.mts`;
  await writeFile(file, example);
  onTestFinished(() => rm(file));
  const options = ['--ignoreConfig', '--noEmit', '--strict', '--target', 'es2022', '--module', 'nodenext'];
  const resolution = ['--types', 'node', '--skipLibCheck', '--allowImportingTsExtensions'];
  await run('npx', ['tsc', ...options, ...resolution, file], { cwd: root });
  const { stdout } = await run('npx', ['tsx', file], { cwd: root });
  expect(stdout).toBe('3 attempts, 1 payment\n');
  expect(page).toContain(`It prints \`${stdout.trim()}\``);
});

describe.skipIf(url === '')('a message id that the application gives (skipped without REDIS_URL)', () => {
  test('makes a second publish a duplicate for every consumer, until its lifetime ends', async () => {
    const { cache } = openCache({ url, namespace: randomUUID(), ttlMs: 1_500 });
    const backend = new MemoryBackend();
    onTestFinished(() => backend.close());
    await backend.declareQueue('orders');
    const seen: string[] = [];
    const dispatcher = new MessageDispatcher({ backend, serializers, cache, logger: silentLogger });
    for (const name of ['billing', 'shipping']) {
      dispatcher.attachConsumer({ name, accepts: () => true, process: () => void seen.push(name) });
    }
    const publish = () =>
      new QueuePublisher({ backend, serializers }).publish('orders', { n: 1 }, { id: 'order-4711-paid' });
    await publish();
    await dispatcher.consumeEvent('orders');
    await publish();
    await dispatcher.consumeEvent('orders');
    expect(seen).toEqual(['billing', 'shipping']);
    expect(dispatcher.counters).toMatchObject({ acknowledged: 2, duplicates: 2 });
    await vi.waitFor(
      async () => {
        await publish();
        await dispatcher.consumeEvent('orders');
        expect(seen).toEqual(['billing', 'shipping', 'billing', 'shipping']);
      },
      { timeout: 10_000, interval: 200 },
    );
  });
});
