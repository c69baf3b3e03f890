import { type ChildProcess, fork } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DeadLetterHeader } from '@melange/core';
import { build } from 'esbuild';
import { beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { backendAt, isMissing, message, receive, sharedUrl, uniqueName } from './support/scene.ts';

const url = sharedUrl as string;
const worker = fileURLToPath(new URL('support/crashing-worker.ts', import.meta.url));
/** Of the worker: few, since each crash costs a visibility timeout of two seconds, yet enough to find the guilty one. */
const maxRedeliveries = 13;
let program: string;

/** A worker that a supervisor starts again whenever it ends, until the test is over. */
function supervised(parameters: readonly string[]): { readonly ends: () => number } {
  let child: ChildProcess;
  let ends = 0;
  let isOver = false;
  const start = (): void => {
    child = fork(program, parameters);
    child.once('exit', () => {
      ends += 1;
      if (!isOver) start();
    });
  };
  start();
  onTestFinished(() => {
    isOver = true;
    child.kill('SIGKILL');
  });
  return { ends: () => ends };
}

describe.skipIf(isMissing)('a message that ends its process (skipped without SQS_URL)', () => {
  beforeAll(async () => {
    const directory = await mkdtemp(join(tmpdir(), 'melange-killer-'));
    program = join(directory, 'worker.cjs');
    // It starts a dozen times: as one file of JavaScript that takes a moment, by tsx seconds.
    await build({
      entryPoints: [worker],
      outfile: program,
      bundle: true,
      platform: 'node',
      logLevel: 'error',
    });
    return () => rm(directory, { recursive: true });
  });

  test.each([
    { suffix: '', count: 100 },
    // An emulator hands over one of each group at a time, and takes its time for it.
    { suffix: '.fifo', count: 40 },
  ])(
    'is dead-lettered as crashed; $count others are processed, of a queue named test$suffix',
    { timeout: 120_000 },
    async ({ suffix, count }) => {
      const backend = backendAt(url);
      const [queue, deadLetterQueue] = [uniqueName(suffix), uniqueName(suffix)];
      await backend.declareQueue(queue, { deadLetterQueue });
      const messages = Array.from({ length: count + 1 }, (_, n) =>
        message(`${n}`, { manifest: 'json', key: `key-${n % 10}` }),
      );
      await backend.publishToQueue(queue, messages);
      const file = join(program, `../processed${suffix}`);
      await writeFile(file, '');
      const { ends } = supervised([url, queue, file, '15', String(maxRedeliveries)]);
      const killers = await receive(backend, deadLetterQueue, {}, (delivery) => delivery.acknowledge());
      await vi.waitFor(
        async () => {
          const processed = new Set((await readFile(file, 'utf8')).split('\n').filter(Boolean));
          expect(processed.size).toBe(count);
          expect(killers.contents()).toEqual(['15']);
          expect(await backend.describeQueue(queue)).toMatchObject({ depth: 0, inFlight: 0 });
        },
        { timeout: 100_000, interval: 200 },
      );
      expect(killers.deliveries[0]?.message.headers[DeadLetterHeader.reason]).toBe('crashed');
      // And the first time.
      expect(ends()).toBe(maxRedeliveries + 1);
    },
  );
});
