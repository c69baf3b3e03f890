import { type ChildProcess, fork } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DeadLetterHeader } from '@melange/core';
import { build } from 'esbuild';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { backendFor, inbox, message, noBroker, queueName, url } from './support/scene.ts';

const worker = fileURLToPath(new URL('support/crashing-worker.ts', import.meta.url));

describe.skipIf(url === '')(`a message that ends its process${url === '' ? ` (${noBroker})` : ''}`, () => {
  test('is dead-lettered after some restarts; all others are processed', { timeout: 240_000 }, async () => {
    const backend = backendFor();
    const [queue, dead] = [queueName(backend), queueName(backend)];
    await backend.declareQueue(queue, { partitions: 2, deadLetterQueue: dead });
    const fields = (n: number) => ({ key: `key-${n % 50}`, manifest: 'json' });
    await backend.publishToQueue(
      queue,
      Array.from({ length: 1_000 }, (_, n) => message(`${n}`, fields(n))),
    );
    const directory = await mkdtemp(join(tmpdir(), 'melange-killer-'));
    const [file, program] = [join(directory, 'processed'), join(directory, 'worker.cjs')];
    // It starts some times: as one file of JavaScript that takes a moment, by tsx seconds.
    await build({
      entryPoints: [worker],
      outfile: program,
      bundle: true,
      platform: 'node',
      logLevel: 'error',
    });
    await writeFile(file, '');
    let child: ChildProcess;
    let ends = 0;
    let isOver = false;
    // As a supervisor does: whenever it ends, it is started again.
    const start = (): void => {
      child = fork(program, [url, queue, file, '500']);
      child.once('exit', () => {
        ends += 1;
        if (!isOver) start();
      });
    };
    start();
    onTestFinished(async () => {
      isOver = true;
      child.kill('SIGKILL');
      await rm(directory, { recursive: true });
    });
    const killers = inbox((delivery) => delivery.acknowledge());
    await backend.subscribe(dead, { maxInFlight: 10 }, killers.receive);
    await vi.waitFor(() => expect(killers.deliveries).toHaveLength(1), { timeout: 150_000, interval: 100 });
    await vi.waitFor(
      async () => {
        const processed = new Set((await readFile(file, 'utf8')).split('\n').filter(Boolean));
        expect(processed.size).toBe(999);
        expect((await backend.describeQueue(queue)).depth).toBe(0);
      },
      { timeout: 60_000, interval: 100 },
    );
    // Three to be suspected and two as a suspect, and those before whose process got on.
    expect(ends).toBeGreaterThanOrEqual(5);
    expect(ends).toBeLessThanOrEqual(9);
    expect(killers.contents()).toEqual(['500']);
    expect(killers.deliveries[0]?.message.headers[DeadLetterHeader.reason]).toBe('crashed');
  });
});
