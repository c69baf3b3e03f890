import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { MemoryBackend } from '@melange/backend-memory';
import { canStartHere, startRabbitMq } from '@melange/brokers';
import { MelangeError, PublishError, Reject } from '@melange/core';
import { Ledger, readArguments, runSystem } from '@melange/order-saga';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { figures, main, orderSaga } from './support/run.ts';

const rabbitMqUrl = process.env.RABBITMQ_URL ?? '';

/** Takes every message, and reports each fifth as not confirmed. */
class ForgetfulBackend extends MemoryBackend {
  readonly ids = new Set<string>();
  #published = 0;
  override async publishToQueue(...[queue, messages, options]: Parameters<MemoryBackend['publishToQueue']>) {
    await super.publishToQueue(queue, messages, options);
    for (const { id } of messages) this.ids.add(id);
    this.#published += 1;
    if (this.#published % 5 > 0) return;
    throw new PublishError(
      queue,
      messages.map(({ id }) => ({ messageId: id, error: new Error('confirmation lost') })),
    );
  }
}

/** Gives every queue up. */
class DeadBackend extends MemoryBackend {
  override async subscribe(): Promise<never> {
    throw new MelangeError('CONFIGURATION', 'gone for good');
  }
}

/** Goes away before its queues are removed. */
class VanishingBackend extends MemoryBackend {
  override async deleteQueue(): Promise<never> {
    throw new MelangeError('BROKER_UNAVAILABLE', 'gone');
  }
}

/** Refuses every message for good. */
class RefusingBackend extends MemoryBackend {
  override async publishToQueue(): Promise<void> {
    throw new Reject('not here');
  }
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
      'paid twice': 0,
    });
    expect(figures(stdout).retried).toBeGreaterThan(0);
    expect(stdout).toContain('200 of 200 orders ended');
  });

  test('orders that end nowhere in time are lost: they are named, and the status is 1', async () => {
    const impossible = ['--orders', '12', '--failure-rate', '0.999', '--patience-seconds', '0.05'];
    const { status, stdout, stderr } = await orderSaga(impossible);
    expect(status).toBe(1);
    expect(figures(stdout).lost).toBeGreaterThan(10);
    expect(stderr).toMatch(/^order-saga: not as it should be: order-.*\n$/);
  });

  test('publishes whose confirmations are lost are repeated: duplicates are suppressed, nobody pays twice', async () => {
    const backend = new ForgetfulBackend();
    const options = readArguments(['--orders', '200', '--failure-rate', '0.2']);
    const backends = { orders: backend, payments: backend, saga: backend };
    const report = await runSystem(options, backends, () => undefined);
    expect(report).toMatchObject({ placed: 200, completed: 198, deadLettered: 2, wrong: [] });
    expect(report.duplicates).toBeGreaterThan(50);
    // Five messages an order, three for one that cannot be paid: a repeated one keeps its id.
    expect(backend.ids.size).toBe(198 * 5 + 2 * 3);
    await backend.close();
  });

  test('a stop ends the run early and removes its queues', async () => {
    await using backend = new MemoryBackend();
    const options = readArguments(['--failure-rate', '0.999', '--run-id', 'stopped']);
    const backends = { orders: backend, payments: backend, saga: backend };
    const stop = new AbortController();
    const report = await runSystem(options, backends, () => stop.abort(), stop.signal);
    expect(report.notFinished).toBeGreaterThan(50);
    expect(report).toMatchObject({ lost: 0, wrong: [] });
    expect(await backend.describeQueue('stopped-orders')).toMatchObject({ exists: false });
  });

  test('a queue that is given up ends the run with the reason', async () => {
    await using backend = new MemoryBackend();
    await using dead = new DeadBackend();
    const backends = { orders: backend, payments: backend, saga: dead };
    await expect(runSystem(readArguments([]), backends, () => undefined)).rejects.toThrow('gone for good');
  });

  test('a broker that goes away at the end does not hide the result', async () => {
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => undefined);
    onTestFinished(() => warn.mockRestore());
    await using backend = new VanishingBackend();
    const backends = { orders: backend, payments: backend, saga: backend };
    const report = await runSystem(readArguments(['--orders', '3']), backends, () => undefined);
    expect(report).toMatchObject({ completed: 3, wrong: [] });
    expect(warn).toHaveBeenCalledTimes(6);
  });

  test('an order whose message ends in any dead-letter queue is not lost', async () => {
    await using backend = new MemoryBackend();
    await using refusing = new RefusingBackend();
    const options = readArguments(['--orders', '3', '--failure-rate', '0']);
    const backends = { orders: backend, payments: refusing, saga: backend };
    const report = await runSystem(options, backends, () => undefined);
    expect(report).toMatchObject({ completed: 0, deadLettered: 3, wrong: [] });
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
    expect(ledger.summary()).toMatchObject({ placed: 3, lost: 1, unaccounted: 2, paidTwice: 0 });
    expect(ledger.summary().wrong).toEqual(['a', 'c', 'stranger']);
  });

  test('an order that has not ended when the run is stopped is not finished, not lost', () => {
    const ledger = new Ledger();
    for (const order of ['a', 'b', 'c']) ledger.placed(order);
    ledger.completed('b');
    for (const order of ['c', 'c']) ledger.charged(order);
    expect(ledger.summary(true)).toMatchObject({ lost: 0, notFinished: 2, paidTwice: 1, wrong: ['c'] });
  });

  test('an order that was charged twice is paid twice', () => {
    const ledger = new Ledger();
    for (const order of ['a', 'b']) ledger.placed(order);
    for (const order of ['a', 'b', 'b']) ledger.charged(order);
    for (const order of ['a', 'b']) ledger.completed(order);
    expect(ledger.summary()).toMatchObject({ paid: 2, lost: 0, paidTwice: 1, wrong: ['b'] });
  });
});

describe.skipIf(rabbitMqUrl === '')('RabbitMQ (skipped without RABBITMQ_URL)', () => {
  test('2,000 orders survive a restart of the broker in the middle', { timeout: 300_000 }, async ({
    skip,
  }) => {
    if (!canStartHere('rabbitmq')) return skip('no RabbitMQ of our own can be started here, to be restarted');
    const broker = await startRabbitMq();
    onTestFinished(() => broker.stop());
    const parameters = ['--backend', 'rabbitmq', '--orders', '2000', '--failure-rate', '0.2'];
    const env = { ...process.env, RABBITMQ_URL: broker.url };
    const child = spawn(process.execPath, ['--import', 'tsx', main, ...parameters], { env });
    onTestFinished(() => void child.kill('SIGKILL'));
    let stdout = '';
    let restarted: Promise<void> | undefined;
    child.stdout.on('data', (data: Buffer) => {
      stdout += data.toString();
      if (stdout.includes('orders ended')) restarted ??= broker.restart();
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

  test('each service runs alone in its own process, and drains at SIGTERM', {
    timeout: 120_000,
  }, async () => {
    const shared = ['--backend', 'rabbitmq', '--run-id', `alone-${randomUUID()}`];
    const others = ['payments', 'saga'].map((service) => {
      const child = spawn(process.execPath, ['--import', 'tsx', main, '--service', service, ...shared]);
      onTestFinished(() => void child.kill('SIGKILL'));
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
