import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { backendFor, inbox, message, noBroker, queueName, soon, url } from './support/scene.ts';

const worker = fileURLToPath(new URL('support/freezing-worker.ts', import.meta.url));

describe.skipIf(url === '')(`a process that was stopped${url === '' ? ` (${noBroker})` : ''}`, () => {
  test('and goes on starts nothing that others have finished, and aborts what it had', {
    timeout: 120_000,
  }, async () => {
    const backend = backendFor();
    const queue = queueName(backend);
    await backend.declareQueue(queue, { partitions: 1 });
    await backend.publishToQueue(
      queue,
      Array.from({ length: 20 }, (_, n) => message(`${n}`)),
    );
    const directory = await mkdtemp(join(tmpdir(), 'melange-frozen-'));
    const file = join(directory, 'events');
    await writeFile(file, '');
    const events = async (): Promise<string[]> => (await readFile(file, 'utf8')).split('\n').filter(Boolean);
    const child = spawn(process.execPath, ['--import', 'tsx', worker, url, queue, file], {
      stdio: 'inherit',
    });
    onTestFinished(async () => {
      child.kill('SIGKILL');
      await rm(directory, { recursive: true });
    });
    await vi.waitFor(async () => expect(await events()).toHaveLength(4), { timeout: 30_000, interval: 20 });
    child.kill('SIGSTOP');
    const taken = inbox((delivery) => delivery.acknowledge());
    await backend.subscribe(queue, { maxInFlight: 50 }, taken.receive);
    await vi.waitFor(() => expect(taken.deliveries).toHaveLength(20), { timeout: 30_000, interval: 20 });
    await vi.waitFor(async () => expect((await backend.describeQueue(queue)).depth).toBe(0), soon);
    child.kill('SIGCONT');
    await vi.waitFor(
      async () => expect(await events()).toEqual(expect.arrayContaining(['abort 1', 'abort 3'])),
      soon,
    );
    // It takes part in the group again: whatever it would start it has started.
    await vi.waitFor(async () => {
      await backend.publishToQueue(queue, [message('last')]);
      const started = (await events()).filter((event) => event === 'start last');
      expect(
        taken.contents().filter((content) => content === 'last').length + started.length,
      ).toBeGreaterThan(0);
    }, soon);
    const started = (await events()).filter((event) => /^start \d/.test(event));
    expect(started).toEqual(['start 0', 'start 1', 'start 2', 'start 3']);
  });
});
