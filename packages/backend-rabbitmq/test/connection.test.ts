import { createServer } from 'node:net';
import { TcpProxy } from '@melange/conformance';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import type { RabbitMqBackend, RabbitMqBackendOptions } from '../src/index.ts';
import { backendFor, inbox, message, noBroker, queueName, url } from './support/scene.ts';

const soon = { timeout: 20_000, interval: 20 };

/** A backend whose connections can be broken. */
async function throughProxy(
  options: Partial<RabbitMqBackendOptions> = {},
): Promise<{ backend: RabbitMqBackend; proxy: TcpProxy }> {
  const { hostname: host, port } = new URL(url);
  const proxy = await TcpProxy.start({ host, port: Number(port || 5672) });
  onTestFinished(() => proxy[Symbol.asyncDispose]());
  const address = Object.assign(new URL(url), { host: `127.0.0.1:${proxy.address.port}` });
  return { backend: backendFor({ url: address.href, ...options }), proxy };
}

function spies() {
  return { debug: vi.fn(), info: vi.fn(), warn: vi.fn(), error: vi.fn() };
}

describe('an address that does not answer', () => {
  test('that accepts and says nothing is given up in time', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    onTestFinished(() => void server.close());
    await vi.waitFor(() => expect(server.listening).toBe(true));
    const { port } = server.address() as { port: number };
    const backend = backendFor({ url: `amqp://user:s3cret@127.0.0.1:${port}`, connectTimeoutMs: 300 });
    const began = Date.now();
    const error = await backend.subscribe('q', { maxInFlight: 1 }, () => undefined).catch((thrown) => thrown);
    expect(error).toMatchObject({ code: 'BROKER_UNAVAILABLE' });
    expect(Date.now() - began).toBeLessThan(2_000);
    expect(await backend.health()).toMatchObject({ status: 'degraded' });
  });

  test('that is no address is refused at once, without its password', () => {
    const addresses = [
      'http://user:s3cret@127.0.0.1:1',
      'amqp//user:s3cret@',
      'amqp://user:s3cret@127.0.0.1:65536',
      '',
    ];
    for (const address of addresses) {
      const connect = () => backendFor({ url: address });
      expect(connect).toThrow(expect.objectContaining({ code: 'CONFIGURATION' }));
      expect(connect).not.toThrow('s3cret');
    }
    for (const port of [0, 65_536, 1.5, Number.NaN]) {
      expect(() => backendFor({ url: { hostname: '127.0.0.1', port } })).toThrow('url.port');
    }
    for (const name of ['connectTimeoutMs', 'publishTimeoutMs', 'heartbeatSeconds']) {
      expect(() => backendFor({ [name]: Number.NaN })).toThrow(name);
      expect(() => backendFor({ [name]: -1 })).toThrow(name);
    }
  });

  test('is told without its password, however it is given', async () => {
    const logger = spies();
    const told: string[] = [];
    const password = 's3cret';
    for (const address of [
      `amqp://user:${password}@127.0.0.1:1`,
      { hostname: '127.0.0.1', port: 1, username: 'user', password },
    ]) {
      const backend = backendFor({ url: address, logger });
      const error = await backend.declareQueue('q').catch((thrown) => thrown);
      expect(error).toMatchObject({ code: 'BROKER_UNAVAILABLE' });
      const published = await backend
        .publishToQueue('q', [message('x')], { deadlineMs: 200 })
        .catch((thrown) => thrown);
      expect(published).toMatchObject({ code: 'PUBLISH_FAILED' });
      for (const one of [error, published]) told.push(String(one), String(one.cause), String(one.stack));
      told.push(JSON.stringify(await backend.health()));
    }
    told.push(JSON.stringify(Object.values(logger).map(({ mock }) => mock.calls)));
    expect(told.join('\n')).not.toContain(password);
  });
});

describe.skipIf(url === '')(`connections to RabbitMQ${url === '' ? ` (${noBroker})` : ''}`, () => {
  test('a wrong password is a clear error that does not repeat it', async () => {
    const address = Object.assign(new URL(url), { username: 'guest', password: 'wr0ng' });
    const error = await backendFor({ url: address.href })
      .declareQueue('q')
      .catch((thrown) => thrown);
    expect(error).toMatchObject({ code: 'BROKER_UNAVAILABLE', message: expect.stringContaining('ACCESS') });
    expect(String(error.stack) + String(error.cause)).not.toContain('wr0ng');
  });

  test('a virtual host that does not exist is told', async () => {
    const address = Object.assign(new URL(url), { pathname: '/no-such-host' });
    await expect(backendFor({ url: address.href }).declareQueue('q')).rejects.toMatchObject({
      code: 'BROKER_UNAVAILABLE',
      message: expect.stringContaining('virtual host'),
    });
  });

  test('idle connections come back by themselves, and every step is logged', async () => {
    const logger = spies();
    const { backend, proxy } = await throughProxy({ logger });
    const queue = queueName(backendFor());
    await backend.declareQueue(queue);
    await backend.publishToQueue(queue, [message('connects')]);
    const before = proxy.connectionsMade;
    await proxy.refuse();
    await vi.waitFor(
      async () =>
        expect(await backend.health()).toMatchObject({
          status: 'degraded',
          detail: expect.stringContaining('being connected'),
        }),
      soon,
    );
    await proxy.accept();
    await vi.waitFor(async () => expect(await backend.health()).toEqual({ status: 'healthy' }), soon);
    expect(proxy.connectionsMade).toBeGreaterThanOrEqual(before + 2);
    const subjects = ['being connected', 'being connected for publishing'];
    // One line when it begins and one when it ends, however often it is tried.
    const began = logger.warn.mock.calls.map(([line]) => line).sort();
    expect(began).toEqual(subjects.map((subject) => `trouble ${subject}`));
    const ended = logger.info.mock.calls.map(([line]) => line).sort();
    expect(ended).toEqual(subjects.map((subject) => `recovered from trouble ${subject}`));
  });

  test('what was declared is declared again after a reconnect', async () => {
    const { backend, proxy } = await throughProxy();
    const direct = backendFor();
    const queue = queueName(direct);
    const topics = [`${queue}-topic-1`, `${queue}-topic-2`];
    onTestFinished(async () => {
      for (const topic of topics) await direct.deleteTopic(topic);
    });
    for (const topic of topics) await backend.declareQueue(queue, { topics: [topic] });
    await proxy.refuse();
    await direct.deleteQueue(queue);
    await proxy.accept();
    await vi.waitFor(async () => expect((await direct.describeQueue(queue)).exists).toBe(true), soon);
    await vi.waitFor(async () => {
      for (const topic of topics) await direct.publishToTopic(topic, [message('both')]);
      expect((await direct.describeQueue(queue)).depth).toBeGreaterThanOrEqual(2);
    }, soon);
  });

  test('a silent connection is noticed by its heartbeat, its deliveries are aborted and come again', async () => {
    const { backend, proxy } = await throughProxy({ heartbeatSeconds: 1 });
    const direct = backendFor();
    const queue = queueName(direct);
    await direct.declareQueue(queue);
    await direct.publishToQueue(queue, [message('held')]);
    const received = inbox((delivery) => (delivery.redeliveries ?? 0) > 0 && delivery.acknowledge());
    await backend.subscribe(queue, { maxInFlight: 1 }, received.receive);
    await vi.waitFor(() => expect(received.deliveries).toHaveLength(1), soon);
    const first = received.deliveries[0];
    proxy.stall();
    await vi.waitFor(() => expect(first?.signal.aborted).toBe(true), soon);
    expect(first?.signal.reason).toMatchObject({ code: 'DELIVERY_ABORTED', reason: 'connection-lost' });
    await first?.acknowledge();
    proxy.cut();
    proxy.resume();
    await vi.waitFor(() => expect(received.deliveries).toHaveLength(2), soon);
    expect(received.deliveries[1]).toMatchObject({ attempt: 1, redeliveries: 1 });
  });

  test('closing ends in bounded time on a silent connection, and when it dies in the middle of it', async () => {
    for (const dies of [false, true]) {
      const { backend, proxy } = await throughProxy();
      const direct = backendFor();
      const queue = queueName(direct);
      await direct.declareQueue(queue);
      const subscription = await backend.subscribe(queue, { maxInFlight: 1 }, () => undefined);
      proxy.stall();
      const began = Date.now();
      const closing = Promise.all([subscription.close(), backend.close()]);
      if (dies) proxy.cut();
      await closing;
      expect(Date.now() - began).toBeLessThan(dies ? 2_000 : 14_000);
    }
  });

  test('a backend that is closed while it connects leaves no connection behind, however late the broker answers', async () => {
    const { backend, proxy } = await throughProxy();
    proxy.stall();
    const declaring = backend.declareQueue('late').catch((error) => error);
    await vi.waitFor(() => expect(proxy.connections).toBe(1), soon);
    await backend.close();
    proxy.resume();
    expect(await declaring).toMatchObject({ code: 'CLOSED' });
    await vi.waitFor(() => expect(proxy.connections).toBe(0), soon);
  });

  test('a subscription that opens while its backend closes is refused, and tries nothing more', async () => {
    const logger = spies();
    const queue = queueName(backendFor());
    const { backend, proxy } = await throughProxy({ logger });
    await backend.declareQueue(queue);
    const subscribing = Array.from({ length: 5 }, () =>
      backend.subscribe(queue, { maxInFlight: 1 }, () => undefined).catch((error) => error),
    );
    await backend.close();
    for (const refusal of await Promise.all(subscribing)) {
      expect(['CLOSED', 'BROKER_UNAVAILABLE']).toContain(refusal.code);
    }
    await vi.waitFor(() => expect(proxy.connections).toBe(0), soon);
    expect(logger.warn).not.toHaveBeenCalled();
  });

  test('one that closes in the middle of coming back ends, and its backend with it', async () => {
    const { backend, proxy } = await throughProxy();
    const queue = queueName(backendFor());
    await backend.declareQueue(queue);
    const subscription = await backend.subscribe(queue, { maxInFlight: 1 }, () => undefined);
    await proxy.refuse();
    await vi.waitFor(async () => expect((await backend.health()).status).toBe('degraded'), soon);
    await proxy.accept();
    await Promise.all([subscription.close(), subscription.ended, backend.close()]);
    await vi.waitFor(() => expect(proxy.connections).toBe(0), soon);
  });

  test('a topic that is not known yet: on a silent connection the publish fails by its deadline', async () => {
    const { backend, proxy } = await throughProxy();
    const queue = queueName(backendFor());
    await backend.declareQueue(queue);
    proxy.stall();
    const began = Date.now();
    const sent = message('never');
    await expect(backend.publishToTopic('unknown', [sent], { deadlineMs: 300 })).rejects.toMatchObject({
      code: 'PUBLISH_FAILED',
      failures: [{ messageId: sent.id, error: { code: 'PUBLISH_TIMEOUT' } }],
    });
    expect(Date.now() - began).toBeLessThan(2_000);
  });

  test('acknowledgements of one turn travel as one', async () => {
    const { backend, proxy } = await throughProxy();
    const direct = backendFor();
    const queue = queueName(direct);
    await direct.declareQueue(queue);
    await direct.publishToQueue(
      queue,
      Array.from({ length: 200 }, (_, n) => message(`${n}`)),
    );
    const received = inbox();
    const subscription = await backend.subscribe(queue, { maxInFlight: 200 }, received.receive);
    await vi.waitFor(() => expect(received.deliveries).toHaveLength(200), soon);
    const before = proxy.bytesToTarget;
    await Promise.all(received.deliveries.map((delivery) => delivery.acknowledge()));
    await subscription.close();
    // A single acknowledgement has 21 bytes: two hundred would have 4,200.
    expect(proxy.bytesToTarget - before).toBeLessThan(200);
    expect((await direct.describeQueue(queue)).depth).toBe(0);
  });
});
