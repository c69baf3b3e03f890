import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { canStartHere } from '@melange/brokers';
import { describe, expect, onTestFinished, test } from 'vitest';
import { freePort } from '../../brokers/src/processes.ts';
import { main, orderSaga } from './support/run.ts';

/** Starts brokers of its own, and records them in a folder of its own. */
async function environment(): Promise<{ env: NodeJS.ProcessEnv; port: number; folder: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'melange-test-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const port = await freePort();
  // No Docker engine answers there.
  const own = { TMPDIR: folder, MELANGE_REDIS_PORT: String(port), DOCKER_HOST: 'tcp://127.0.0.1:1' };
  return { env: { ...process.env, ...own, REDIS_URL: '' }, port, folder };
}

/** Nothing is recorded as started, and nobody listens. */
async function expectNothingLeft({ port, folder }: Awaited<ReturnType<typeof environment>>): Promise<void> {
  expect((await readdir(folder)).filter((name) => name.startsWith('melange-brokers'))).toEqual([]);
  expect(await freePort(port)).toBe(port);
}

describe.skipIf(!canStartHere('redis'))(
  'a broker that a run has started (skipped where Redis cannot be)',
  { timeout: 120_000 },
  () => {
    test.each(['SIGINT', 'SIGTERM'] as const)(
      'is stopped at %s, which ends the run early',
      async (signal) => {
        const own = await environment();
        const parameters = ['--backend', 'redis-streams', '--orders', '5000'];
        const child = spawn(process.execPath, ['--import', 'tsx', main, ...parameters], { env: own.env });
        onTestFinished(() => void child.kill('SIGKILL'));
        let stdout = '';
        let isTold = false;
        child.stdout.on('data', (data: Buffer) => {
          stdout += data.toString();
          if (isTold || !stdout.includes('orders ended')) return;
          isTold = child.kill(signal);
          // Ctrl-C comes once from the terminal, and again from those that have started this one.
          setTimeout(() => child.kill(signal), 50);
        });
        const [status] = (await once(child, 'exit')) as [number | null];
        // None where the second one came when all was done and Node was about to end.
        expect([1, null]).toContain(status);
        expect(stdout).toContain('redis: starting (package)');
        expect(stdout).toMatch(/not finished +│ \d+/);
        await expectNothingLeft(own);
      },
    );

    test('is stopped where another one that the run needs cannot be had', async () => {
      const own = await environment();
      const parameters = ['--orders-backend', 'redis-streams', '--payments-backend', 'kafka'];
      const env = { ...own.env, KAFKA_URL: 'kafka://127.0.0.1:1' };
      const { status, stdout, stderr } = await orderSaga(parameters, env);
      expect([status, stdout]).toEqual([2, 'redis: starting (package)\n']);
      expect(stderr).toMatch(/^order-saga: kafka cannot be had: .*KAFKA_URL.*\n$/);
      await expectNothingLeft(own);
    });
  },
);
