import { createHook } from 'node:async_hooks';
import { connect as connectSocket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { TcpProxy } from '@melange/conformance';
import { DeadLetterHeader, type Delivery } from '@melange/core';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import {
  arrived,
  backendFor,
  foreignAdmin,
  inbox,
  message,
  noBroker,
  queueName,
  recordingLogger,
  soon,
  unique,
  url,
} from './support/scene.ts';

describe.skipIf(url === '')(`Kafka${url === '' ? ` (${noBroker})` : ''}`, () => {
  test('a poison message never blocks its partition, retried or stuck in its handler', async () => {
    const backend = backendFor();
    const queue = queueName(backend);
    await backend.declareQueue(queue, { partitions: 1 });
    const numbers = Array.from({ length: 102 }, (_, n) => n);
    await backend.publishToQueue(
      queue,
      numbers.map((n) => message(`${n}`, { key: `${n}` })),
    );
    const received = inbox((delivery) => {
      if (delivery.message.content === '0') return delivery.retry({ delayMs: 60_000 });
      return delivery.message.content === '1' ? undefined : delivery.acknowledge();
    });
    await backend.subscribe(queue, { maxInFlight: 3 }, received.receive);
    await arrived(received.deliveries, 102);
    // The retried one waits in its topic; of the others only the stuck one is unfinished, in the log too.
    await vi.waitFor(async () => expect((await backend.describeQueue(queue)).depth).toBe(1), soon);
    await backend.close();
    const next = backendFor();
    const again = inbox();
    await next.subscribe(queue, { maxInFlight: 10 }, again.receive);
    await arrived(again.deliveries, 1);
    expect(again.contents()).toEqual(['1']);
  });

  test('sets hardly a timer while nothing is asked of it', async () => {
    const backend = backendFor();
    const queue = queueName(backend);
    await backend.declareQueue(queue);
    await backend.publishToQueue(queue, [message('1')]);
    let timers = 0;
    const watch = createHook({
      init(_, type) {
        if (type === 'Timeout') timers += 1;
      },
    });
    watch.enable();
    // Long enough for hundreds of those that kafkajs would set.
    await sleep(500);
    watch.disable();
    expect(timers).toBeLessThan(30);
  });

  test('a dead-letter copy that fails: the message is not committed, comes again, and health says so', async () => {
    const logger = recordingLogger();
    const backend = backendFor({ publishTimeoutMs: 3_000, logger });
    const [queue, dead] = [queueName(backend), queueName(backend)];
    await backend.declareQueue(queue, { deadLetterQueue: dead, partitions: 1 });
    await backend.publishToQueue(queue, [message('bad', { key: 'bad' }), message('good', { key: 'good' })]);
    await backendFor().deleteQueue(dead);
    const failures: unknown[] = [];
    const received = inbox((delivery) => {
      if (delivery.message.content === 'good') return delivery.acknowledge();
      return delivery.deadLetter({ reason: 'test' }).catch((error: unknown) => {
        failures.push(error);
        return delivery.retry({ delayMs: 100, because: 'not-run' });
      });
    });
    await backend.subscribe(queue, { maxInFlight: 5 }, received.receive);
    await vi.waitFor(() => expect(failures.length).toBeGreaterThan(1), soon);
    expect(received.contents()).toContain('good');
    expect(await backend.health()).toMatchObject({
      status: 'degraded',
      detail: expect.stringContaining(`settling messages of queue "${queue}" as dead letters`),
    });
    expect(failures[0]).toMatchObject({ code: 'CONFIGURATION', message: expect.stringContaining(dead) });
    expect(logger.lines).toContain(`trouble settling messages of queue "${queue}" as dead letters`);
    // With a copy whose original is not committed yet it may be counted twice.
    expect((await backendFor().describeQueue(queue)).depth).toBeGreaterThan(0);

    await backendFor().declareQueue(dead);
    const copies = inbox((delivery) => delivery.acknowledge());
    await backendFor().subscribe(dead, { maxInFlight: 5 }, copies.receive);
    await arrived(copies.deliveries, 1);
    expect(copies.deliveries[0]?.message.headers[DeadLetterHeader.sourceQueue]).toBe(queue);
    await vi.waitFor(async () => expect((await backend.describeQueue(queue)).depth).toBe(0), soon);
    await vi.waitFor(async () => expect((await backend.health()).status).toBe('healthy'), soon);
  });

  test('health tells a consumer without progress from an idle one', async () => {
    const backend = backendFor({ stalledAfterMs: 400 });
    const [busy, idle] = [queueName(backend), queueName(backend)];
    for (const queue of [busy, idle]) await backend.declareQueue(queue, { partitions: 1 });
    const nothing = inbox();
    await backend.subscribe(idle, { maxInFlight: 1 }, nothing.receive);
    const stuck = inbox();
    await backend.subscribe(busy, { maxInFlight: 1 }, stuck.receive);
    // An idle time longer than the bound, to begin with: it must not count.
    await new Promise((resolve) => setTimeout(resolve, 900));
    expect((await backend.health()).status).toBe('healthy');
    await backend.publishToQueue(busy, [message('1'), message('2')]);
    await arrived(stuck.deliveries, 1);
    await vi.waitFor(async () => {
      const health = await backend.health();
      expect(health.status).toBe('degraded');
      expect(health.detail).toMatch(`trouble finishing messages of queue "${busy}"`);
      expect(health.detail).toMatch('lag of 2');
    }, soon);
    await stuck.deliveries[0]?.acknowledge();
    await arrived(stuck.deliveries, 2);
    expect((await backend.health()).status).toBe('healthy');
  });

  test('a consumer that crashed says so, joins again by itself, and goes on', {
    timeout: 60_000,
  }, async () => {
    const { hostname, port } = new URL(url);
    const proxy = await TcpProxy.start({ host: hostname, port: Number(port) });
    onTestFinished(() => proxy[Symbol.asyncDispose]());
    const logger = recordingLogger();
    const backend = backendFor({
      logger,
      socketFactory: ({ onConnect }) => connectSocket({ ...proxy.address, noDelay: true }, onConnect),
    });
    const queue = queueName(backend);
    await backend.declareQueue(queue);
    const received = inbox((delivery) => delivery.acknowledge());
    await backend.subscribe(queue, { maxInFlight: 5 }, received.receive);
    const direct = backendFor();
    await direct.publishToQueue(queue, [message('before')]);
    await arrived(received.deliveries, 1);
    await proxy.refuse();
    await vi.waitFor(() => expect(logger.lines).toContain(`trouble receiving from queue "${queue}"`), {
      timeout: 40_000,
    });
    expect((await backend.health()).status).not.toBe('healthy');
    await proxy.accept();
    await direct.publishToQueue(queue, [message('after')]);
    await vi.waitFor(() => expect(received.contents()).toContain('after'), { timeout: 30_000 });
    await vi.waitFor(async () => expect((await backend.health()).status).toBe('healthy'), soon);
  });

  test('many long delays do not keep a short one from being read', async () => {
    const backend = backendFor({ maxTrackedOffsets: 20 });
    const queue = queueName(backend);
    await backend.declareQueue(queue, { partitions: 1 });
    const long = Array.from({ length: 60 }, (_, n) => message(`long ${n}`));
    await backend.publishToQueue(queue, [...long, message('short')]);
    const received = inbox((delivery) => {
      const delayMs = delivery.message.content === 'short' ? 200 : 120_000;
      return delivery.attempt === 1 ? delivery.retry({ delayMs }) : delivery.acknowledge();
    });
    await backend.subscribe(queue, { maxInFlight: 10 }, received.receive);
    await arrived(received.deliveries, 62);
    expect(received.contents().at(-1)).toBe('short');
    expect(received.deliveries.at(-1)?.attempt).toBe(2);
    // Nor are they written again and again. The time itself is what is tested.
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    const [retries] = await (await foreignAdmin()).fetchTopicOffsets(`${queue}.retry`);
    expect(Number(retries?.high)).toBeLessThanOrEqual(61 + 60 * 4);
    // None of those that were put off is gone.
    await backend.close();
    const { depth } = await backendFor().describeQueue(queue);
    expect(depth).toBe(60);
  });

  test('a topic deleted by another process leaves its queues receiving', async () => {
    const backend = backendFor();
    const queue = queueName(backend);
    const topic = unique();
    await backend.declareTopic(topic);
    await backend.declareQueue(queue, { topics: [topic] });
    const received = inbox((delivery) => delivery.acknowledge());
    await backend.subscribe(queue, { maxInFlight: 5 }, received.receive);
    await backend.publishToTopic(topic, [message('through the topic')]);
    await arrived(received.deliveries, 1);
    await backendFor().deleteTopic(topic);
    await backend.publishToQueue(queue, [message('to the queue')]);
    await vi.waitFor(() => expect(received.contents()).toContain('to the queue'), {
      timeout: 25_000,
      interval: 50,
    });
    await expect(backend.publishToTopic(topic, [message('nowhere')])).rejects.toMatchObject({
      code: 'TOPIC_NOT_FOUND',
    });
  }, 60_000);

  test('a topic added by another process is read by the subscriptions that are open', {
    timeout: 40_000,
  }, async () => {
    const backend = backendFor();
    const queue = queueName(backend);
    const topic = unique();
    onTestFinished(() => backendFor().deleteTopic(topic));
    await backend.declareQueue(queue);
    const received = inbox((delivery) => delivery.acknowledge());
    await backend.subscribe(queue, { maxInFlight: 5 }, received.receive);
    const other = backendFor();
    await other.declareQueue(queue, { topics: [topic] });
    await other.publishToTopic(topic, [message('through the topic')]);
    await vi.waitFor(() => expect(received.contents()).toEqual(['through the topic']), {
      timeout: 30_000,
      interval: 50,
    });
  });

  test('order of a key holds from one publish to the next, and keys are processed at once', async () => {
    const backend = backendFor();
    const queue = queueName(backend);
    await backend.declareQueue(queue, { partitions: 1 });
    const sent = ['a1', 'a2', 'b1', 'c1'].map((content) => message(content, { key: content[0] as string }));
    await backend.publishToQueue(queue, sent);
    const received = inbox();
    await backend.subscribe(queue, { maxInFlight: 10 }, received.receive);
    await arrived(received.deliveries, 3);
    expect(received.contents()).toEqual(['a1', 'b1', 'c1']);
    await (received.deliveries[0] as Delivery).acknowledge();
    await arrived(received.deliveries, 4);
    expect(received.contents().at(-1)).toBe('a2');
  });

  test('a publish beyond the size that Kafka takes is refused and says so; its neighbours arrive', async () => {
    const backend = backendFor();
    const queue = queueName(backend);
    await backend.declareQueue(queue, { partitions: 1 });
    const [small, large] = [message('small'), message('x'.repeat(1_000_001))];
    await expect(backend.publishToQueue(queue, [small, large])).rejects.toMatchObject({
      code: 'PUBLISH_FAILED',
      failures: [{ messageId: large.id, error: { code: 'MESSAGE_TOO_LARGE' } }],
    });
    const received = inbox();
    await backend.subscribe(queue, { maxInFlight: 10 }, received.receive);
    await arrived(received.deliveries, 1);
    expect(received.deliveries[0]?.message.id).toBe(small.id);
  });
});

test.each([
  [{ brokers: [] }, /at least one broker/],
  [{ brokers: ['localhost:9092'], partitions: 0 }, /partitions must be a whole number of at least 1/],
  [{ brokers: ['localhost:9092'], revocationDeadlineMs: 30_000 }, /below sessionTimeoutMs/],
])('options that make no sense are refused: %j', async (options, expected) => {
  const { KafkaBackend } = await import('../src/index.ts');
  expect(() => new KafkaBackend(options)).toThrow(expected);
});
