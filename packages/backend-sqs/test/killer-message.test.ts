import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DeadLetterHeader } from '@melange/core';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { backendAt, isMissing, message, receive, sharedUrl, uniqueName } from './support/scene.ts';

const url = sharedUrl as string;
const worker = fileURLToPath(new URL('support/crashing-worker.ts', import.meta.url));

/** A worker that a supervisor starts again whenever it ends, until the test is over. */
function supervised(parameters: readonly string[]): { readonly ends: () => number } {
  let child: ChildProcess;
  let ends = 0;
  let isOver = false;
  const start = (): void => {
    child = spawn(process.execPath, ['--import', 'tsx', worker, ...parameters], { stdio: 'inherit' });
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
  test.each([
    { suffix: '', count: 1_000 },
    // An emulator hands over one of each group at a time, and takes its time for it.
    { suffix: '.fifo', count: 200 },
  ])(
    'is dead-lettered after some restarts; $count others are processed, of a queue named test$suffix',
    { timeout: 300_000 },
    async ({ suffix, count }) => {
      const backend = backendAt(url);
      const [queue, deadLetterQueue] = [uniqueName(suffix), uniqueName(suffix)];
      await backend.declareQueue(queue, { deadLetterQueue });
      const messages = Array.from({ length: count + 1 }, (_, n) => message(`${n}`, { key: `key-${n % 50}` }));
      await backend.publishToQueue(queue, messages);
      const directory = await mkdtemp(join(tmpdir(), 'melange-killer-'));
      onTestFinished(() => rm(directory, { recursive: true }));
      const file = join(directory, 'processed');
      await writeFile(file, '');
      const { ends } = supervised([url, queue, file, '100']);
      const killers = await receive(backend, deadLetterQueue, {}, (delivery) => delivery.acknowledge());
      await vi.waitFor(
        async () => {
          expect(killers.contents()).toEqual(['100']);
          const processed = new Set((await readFile(file, 'utf8')).split('\n').filter(Boolean));
          expect(processed.size).toBe(count);
          expect(await backend.describeQueue(queue)).toMatchObject({ depth: 0, inFlight: 0 });
        },
        { timeout: 280_000, interval: 200 },
      );
      expect(killers.deliveries[0]?.message.headers[DeadLetterHeader.reason]).toBe('crashed');
      // As many attempts as the policy has: SQS does not tell them from crashes.
      expect(ends()).toBeLessThanOrEqual(10);
    },
  );
});
