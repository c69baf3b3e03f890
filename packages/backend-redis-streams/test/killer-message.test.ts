import { type ChildProcess, fork } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DeadLetterHeader, type Delivery } from '@melange/core';
import { build } from 'esbuild';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { canStartHere } from '../../../apps/brokers/src/index.ts';
import { message, open, redis } from './support/streams.ts';

const worker = fileURLToPath(new URL('support/crashing-worker.ts', import.meta.url));

describe.skipIf(!canStartHere('redis'))(
  'one message of a thousand (skipped where no Redis can be started)',
  () => {
    it('that ends its process is dead-lettered as crashed; all others are processed', {
      timeout: 200_000,
    }, async () => {
      const { server } = await redis();
      const backend = open(server.port);
      await backend.declareQueue('orders', { deadLetterQueue: 'dead' });
      const all = Array.from({ length: 1_000 }, (_, n) => ({ ...message(String(n)), manifest: 'json' }));
      await backend.publishToQueue('orders', all);
      const directory = await mkdtemp(join(tmpdir(), 'melange-killer-'));
      const [file, program] = [join(directory, 'processed'), join(directory, 'worker.cjs')];
      // It starts two dozen times: as one file of JavaScript that takes a moment, by tsx seconds.
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
        child = fork(program, [server.url, 'orders', file, '500']);
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
      const dead: Delivery[] = [];
      await backend.subscribe('dead', { maxInFlight: 10 }, (delivery) => void dead.push(delivery));
      await vi.waitFor(() => expect(dead).toHaveLength(1), { timeout: 150_000, interval: 100 });
      await vi.waitFor(async () => {
        const processed = new Set((await readFile(file, 'utf8')).split('\n').filter(Boolean));
        expect(processed.size).toBe(999);
        expect(await backend.describeQueue('orders')).toMatchObject({ depth: 0, inFlight: 0 });
      }, 20_000);
      expect(dead.map((one) => one.message.content)).toEqual(['500']);
      expect(dead[0]?.message.headers[DeadLetterHeader.reason]).toBe('crashed');
      // maxRedeliveries, and the first time.
      expect(ends).toBe(21);
    });
  },
);
