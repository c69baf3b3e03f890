import { execFile, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { restartRabbitMq } from '@melange/brokers';
import { Ledger } from '@melange/order-saga';
import { describe, expect, test } from 'vitest';

const run = promisify(execFile);
const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));
const rabbitMqUrl = process.env.RABBITMQ_URL ?? '';

interface Ended {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function orderSaga(parameters: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ended> {
  try {
    const options = { env: { ...process.env, ...env } };
    const ended = await run(process.execPath, ['--import', 'tsx', main, ...parameters], options);
    return { status: 0, ...ended };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { status: code, stdout, stderr };
  }
}

/** The numbers of the table by their names. */
function figures(stdout: string): Record<string, number> {
  const rows = stdout.matchAll(/│ ([a-z- ]+?) +│ (\d+)/g);
  return Object.fromEntries([...rows].map(([, name, value]) => [name, Number(value)]));
}

describe('memory', () => {
  test('200 orders with failures: all are accounted for', async () => {
    const { status, stdout } = await orderSaga(['--orders', '200', '--failure-rate', '0.2']);
    expect(status).toBe(0);
    expect(figures(stdout)).toMatchObject({
      'orders placed': 200,
      paid: 198,
      completed: 198,
      'dead-lettered': 2,
      lost: 0,
      'unaccounted for': 0,
    });
    expect(figures(stdout).retried).toBeGreaterThan(0);
    expect(stdout).toContain('200 of 200 orders ended');
  });
});

describe('what cannot run', () => {
  test.each([
    ['--orders', 'many'],
    ['--orders', '0'],
    ['--failure-rate', '1.5'],
    ['--backend', 'pigeon'],
    ['--service', 'orders'],
    ['--nonsense'],
  ])('%s %s is one line and status 2', async (...parameters) => {
    const { status, stderr } = await orderSaga(parameters.filter((parameter) => parameter !== undefined));
    expect(status).toBe(2);
    expect(stderr).toMatch(/^order-saga: .*\n$/);
  });

  test('a broker that does not answer is one line without credentials and status 2', async () => {
    const { status, stderr } = await orderSaga(['--backend', 'rabbitmq'], {
      RABBITMQ_URL: 'amqp://user:secret@127.0.0.1:1',
    });
    expect(status).toBe(2);
    expect(stderr).toMatch(/^order-saga: .*\n$/);
    expect(stderr).not.toContain('secret');
  });
});

describe('the ledger', () => {
  test('an order that ended nowhere is lost; one that ended twice or was never placed is unaccounted for', () => {
    const ledger = new Ledger();
    for (const order of ['a', 'b', 'c']) ledger.placed(order);
    ledger.completed('b');
    ledger.completed('c');
    ledger.deadLettered('c');
    ledger.completed('stranger');
    expect(ledger.summary()).toMatchObject({ placed: 3, lost: 1, unaccounted: 2 });
  });
});

describe.skipIf(rabbitMqUrl === '')('RabbitMQ (skipped without RABBITMQ_URL)', () => {
  test('2,000 orders survive a restart of the broker in the middle', { timeout: 180_000 }, async ({
    skip,
  }) => {
    const node = process.env.MELANGE_RABBITMQ_NODE;
    if (node === undefined)
      return skip('the RabbitMQ in use was not started here, so it is not ours to restart');
    const parameters = ['--backend', 'rabbitmq', '--orders', '2000', '--failure-rate', '0.2'];
    const child = spawn(process.execPath, ['--import', 'tsx', main, ...parameters]);
    let stdout = '';
    let restarted: Promise<void> | undefined;
    child.stdout.on('data', (data: Buffer) => {
      stdout += data.toString();
      if (stdout.includes('orders ended')) restarted ??= restartRabbitMq(node, rabbitMqUrl);
    });
    const [status] = (await once(child, 'exit')) as [number];
    await restarted;
    expect(restarted).toBeDefined();
    expect(figures(stdout)).toMatchObject({
      'orders placed': 2_000,
      'dead-lettered': 20,
      lost: 0,
      'unaccounted for': 0,
    });
    expect(status).toBe(0);
  });

  test('each service runs alone in its own process, and drains at SIGTERM', { timeout: 60_000 }, async () => {
    const shared = ['--backend', 'rabbitmq', '--run-id', `alone-${randomUUID()}`];
    const others = ['payments', 'saga'].map((service) => {
      const child = spawn(process.execPath, ['--import', 'tsx', main, '--service', service, ...shared]);
      let stdout = '';
      child.stdout.on('data', (data: Buffer) => {
        stdout += data.toString();
      });
      return { service, child, stdout: () => stdout };
    });
    const { status, stdout } = await orderSaga(['--service', 'orders', '--orders', '150', ...shared]);
    expect(figures(stdout)).toMatchObject({
      completed: 149,
      'dead-lettered': 1,
      lost: 0,
      'unaccounted for': 0,
    });
    expect(status).toBe(0);
    for (const { service, child, stdout } of others) {
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      expect(await exited).toEqual([0, null]);
      expect(stdout()).toContain(`${service}: {"received":`);
    }
  });
});
