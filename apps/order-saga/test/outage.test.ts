import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { canStartHere, startRabbitMq, startRedis } from '@melange/brokers';
import { describe, expect, onTestFinished, test } from 'vitest';
import { figures, main } from './support/run.ts';

/** A run whose broker can be ended under it. */
function run(backend: string, env: NodeJS.ProcessEnv) {
  const parameters = ['--backend', backend, '--orders', '20000'];
  const child = spawn(process.execPath, ['--import', 'tsx', main, ...parameters], {
    env: { ...process.env, ...env },
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  let said = '';
  const says = new Set<() => void>();
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (data: Buffer) => {
      said += data.toString();
      for (const look of says) look();
    });
  }
  const ended = once(child, 'exit') as Promise<[number | null]>;
  return {
    child,
    ended,
    said: () => said,
    /** Resolves when it has said that; rejects when it ends before. */
    until: (what: RegExp): Promise<void> =>
      Promise.race([
        new Promise<void>((resolve) => {
          const look = (): void => {
            if (!what.test(said)) return;
            says.delete(look);
            resolve();
          };
          says.add(look);
          look();
        }),
        ended.then(() => {
          if (!what.test(said)) throw new Error(`it ended before it said ${what}:\n${said}`);
        }),
      ]),
  };
}

async function expectQuickEnd({ child, ended, said }: ReturnType<typeof run>): Promise<void> {
  const toldAt = performance.now();
  child.kill('SIGINT');
  const [status] = await ended;
  expect(performance.now() - toldAt).toBeLessThan(5_000);
  expect(status).toBe(1);
  expect(figures(said())['not finished']).toBeGreaterThan(0);
  expect(said()).not.toMatch(/\blost +│/);
  expect(said()).toMatch(/order-saga: stopped: \d+ orders are not finished/);
}

describe('in an outage', { timeout: 120_000 }, () => {
  test.skipIf(!canStartHere('redis'))(
    'Redis: it says since when it is away, and when it is back; Ctrl-C ends it (skipped where none can be started)',
    async () => {
      const broker = await startRedis({ settings: { appendonly: 'yes' } });
      onTestFinished(() => broker.stop());
      const running = run('redis-streams', { REDIS_URL: broker.url });
      await running.until(/orders ended/);
      await broker.end();
      await running.until(/redis-streams is away since \d\d:\d\d:\d\d: \S/);
      await running.until(/redis-streams is away since \d\d:\d\d:\d\d, for 1\d s now/);
      await broker.start();
      await running.until(/redis-streams is back after 1\d s/);
      await broker.end();
      await running.until(/is back after.*redis-streams is away since/s);
      await expectQuickEnd(running);
    },
  );

  test.skipIf(!canStartHere('rabbitmq'))(
    'RabbitMQ: the same (skipped where none can be started)',
    async () => {
      const broker = await startRabbitMq();
      onTestFinished(() => broker.stop());
      const running = run('rabbitmq', { RABBITMQ_URL: broker.url });
      await running.until(/orders ended/);
      await broker.control('stop_app');
      await running.until(/rabbitmq is away since \d\d:\d\d:\d\d: \S/);
      await expectQuickEnd(running);
    },
  );
});
