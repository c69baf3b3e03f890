import { silentLogger } from '@melange/core';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import type { RabbitMqBackend } from '../src/index.ts';
import { backendFor, inbox, message, noBroker, queueName, rawChannel, unique, url } from './support/scene.ts';

const soon = { timeout: 15_000, interval: 20 };

function topicName(backend: RabbitMqBackend): string {
  const name = unique();
  onTestFinished(() => backend.deleteTopic(name));
  return name;
}

/** What of these manifests reaches the queue. */
async function reaching(
  backend: RabbitMqBackend,
  topic: string,
  queue: string,
  manifests: readonly string[],
) {
  const before = (await backend.describeQueue(queue)).depth;
  await backend.publishToTopic(
    topic,
    manifests.map((manifest) => ({ ...message(manifest), manifest })),
  );
  const received = inbox((delivery) => delivery.acknowledge());
  const run = await backend.subscribe(queue, { maxInFlight: 10, untilEmpty: true }, received.receive);
  await run.ended;
  await run.close();
  return received.deliveries.slice(before).map(({ message: { manifest } }) => manifest);
}

describe.skipIf(url === '')(`topology${url === '' ? ` (${noBroker})` : ''}`, () => {
  test('a filter is widened by a redeclaration; another process reads topics, filter and dead-letter queue', async () => {
    const [backend, other] = [backendFor(), backendFor()];
    const [queue, dead, topic] = [queueName(backend), queueName(backend), topicName(backend)];
    await backend.declareQueue(queue, { topics: [topic], filter: ['B'], deadLetterQueue: dead });
    await backendFor().declareQueue(queue, { topics: [topic], filter: ['A'], deadLetterQueue: dead });
    for (const one of [backend, other]) {
      expect(await one.describeQueue(queue)).toMatchObject({
        topics: [topic],
        filter: ['A', 'B'],
        deadLetterQueue: dead,
      });
    }
    expect(await reaching(other, topic, queue, ['A', 'B', 'C'])).toEqual(['A', 'B']);
    await other.declareQueue(queue, { topics: [topic], deadLetterQueue: dead });
    expect((await backend.describeQueue(queue)).filter).toBeUndefined();
    expect(await reaching(other, topic, queue, ['A', 'C'])).toEqual(['A', 'C']);
  });

  test('a narrower declaration takes nothing away, and says once what stays; replaceFilter takes it away', async () => {
    const warn = vi.fn();
    const backend = backendFor({ logger: { ...silentLogger, warn } });
    const [queue, topic] = [queueName(backend), topicName(backend)];
    await backendFor().declareQueue(queue, { topics: [topic], filter: ['A', 'B', 'C'] });
    await backend.declareQueue(queue, { topics: [topic], filter: ['C'] });
    expect(warn.mock.calls).toEqual([
      [
        `queue "${queue}" still receives A, B of topic "${topic}": declare it with replaceFilter to narrow its filter`,
        undefined,
      ],
    ]);
    expect(await reaching(backend, topic, queue, ['A', 'B', 'C'])).toEqual(['A', 'B', 'C']);
    await backend.declareQueue(queue, { topics: [topic], filter: ['C'], replaceFilter: true });
    expect(warn).toHaveBeenCalledTimes(1);
    expect((await backendFor().describeQueue(queue)).filter).toEqual(['C']);
    expect(await reaching(backend, topic, queue, ['A', 'B', 'C'])).toEqual(['C']);
    await backend.declareQueue(queue, { topics: [topic], replaceFilter: true });
    expect(await reaching(backend, topic, queue, ['A', 'B', 'C'])).toEqual(['A', 'B', 'C']);
    await backend.declareQueue(queue, { topics: [topic], filter: ['D'], replaceFilter: true });
    expect(await reaching(backend, topic, queue, ['A', 'C', 'D'])).toEqual(['D']);
  });

  test('removeTopics unbinds, whoever bound them; what the queue has of them stays', async () => {
    const backend = backendFor();
    const [queue, topic, left] = [queueName(backend), topicName(backend), topicName(backend)];
    await backendFor().declareQueue(queue, { topics: [topic], filter: ['A', 'B'] });
    await backendFor().declareQueue(queue, { topics: [left] });
    await backend.publishToTopic(topic, [{ ...message('early'), manifest: 'A' }]);
    await backend.declareQueue(queue, { removeTopics: [topic, unique()] });
    expect(await backendFor().describeQueue(queue)).toMatchObject({ topics: [left], depth: 1 });
    await backend.publishToTopic(topic, [{ ...message('late'), manifest: 'A' }]);
    await backend.publishToTopic(left, [message('left')]);
    expect((await backend.describeQueue(queue)).depth).toBe(2);
  });

  test('two processes that declare at once lose nothing of each other', async () => {
    const backend = backendFor();
    const [queue, topic] = [queueName(backend), topicName(backend)];
    const manifests = Array.from({ length: 8 }, (_, n) => `M${n}`);
    await backend.declareQueue(queue, { topics: [topic], filter: ['M0'] });
    await Promise.all(
      manifests.map((manifest) => backendFor().declareQueue(queue, { topics: [topic], filter: [manifest] })),
    );
    expect((await backendFor().describeQueue(queue)).filter).toEqual(manifests);
    const raw = await rawChannel();
    expect(await raw.checkQueue(`${queue}.bindings`)).toMatchObject({ messageCount: 1 });
  });

  test('a topic that is deleted is not told any more; a queue without topics has none', async () => {
    const backend = backendFor();
    const [queue, plain, topic] = [queueName(backend), queueName(backend), topicName(backend)];
    await backend.declareQueue(queue, { topics: [topic] });
    await backend.declareQueue(plain);
    await backend.deleteTopic(topic);
    expect((await backend.describeQueue(queue)).topics).toEqual([]);
    expect((await backend.describeQueue(plain)).topics).toEqual([]);
    expect((await backendFor().describeQueue(plain)).topics).toBeUndefined();
  });

  test('what is deleted with a queue: its record, too', async () => {
    const backend = backendFor();
    const [queue, topic] = [unique(), topicName(backend)];
    await backend.declareQueue(queue, { topics: [topic] });
    await backend.deleteQueue(queue);
    expect((await backend.describeQueue(`${queue}.bindings`)).exists).toBe(false);
  });

  test('a stream that somebody made by hand is refused in words, declared and consumed', async () => {
    const backend = backendFor();
    const queue = queueName(backend);
    const raw = await rawChannel();
    await raw.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': 'stream' } });
    await expect(backend.subscribe(queue, { maxInFlight: 1 }, () => undefined)).rejects.toMatchObject({
      code: 'CONFIGURATION',
      message: expect.stringContaining('stream'),
    });
    await expect(backend.declareQueue(queue)).rejects.toMatchObject({
      code: 'TOPOLOGY_CONFLICT',
      message: expect.stringContaining('stream'),
    });
  });

  test.each(['x-max-length', 'x-message-ttl', 'x-expires'])(
    'a queue that somebody made with %s is a conflict that says so',
    async (argument) => {
      const backend = backendFor();
      const queue = queueName(backend);
      const raw = await rawChannel();
      await raw.assertQueue(queue, {
        durable: true,
        arguments: { 'x-queue-type': 'quorum', 'x-delivery-limit': 1_000_000_000, [argument]: 600_000 },
      });
      await expect(backend.declareQueue(queue)).rejects.toMatchObject({
        code: 'TOPOLOGY_CONFLICT',
        message: expect.stringContaining(argument),
      });
    },
  );

  test('a count of deliveries that a client wrote itself is not believed, on a queue of either type', async () => {
    for (const type of ['classic', 'quorum'] as const) {
      const backend = backendFor();
      const queue = queueName(backend);
      const raw = await rawChannel();
      await raw.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': type } });
      raw.sendToQueue(queue, Buffer.from('1'), { headers: { 'x-delivery-count': 500 }, messageId: 'm-1' });
      await raw.waitForConfirms();
      const dying = backendFor();
      const first = inbox();
      await dying.subscribe(queue, { maxInFlight: 1 }, first.receive);
      await vi.waitFor(() => expect(first.deliveries).toHaveLength(1), soon);
      expect(first.deliveries[0]).toMatchObject({ attempt: 1, redeliveries: 0 });
      await dying.close();
      const second = inbox((delivery) => delivery.acknowledge());
      await backend.subscribe(queue, { maxInFlight: 1 }, second.receive);
      await vi.waitFor(() => expect(second.deliveries).toHaveLength(1), soon);
      expect(second.deliveries[0]).toMatchObject({ attempt: 1, redeliveries: 1 });
    }
  });

  test('names that RabbitMQ does not take, or not once they are longer, are refused before anything is made', async () => {
    const backend = backendFor();
    for (const name of ['', 'q'.repeat(239), 'é'.repeat(120)]) {
      const refused = { code: 'CONFIGURATION', message: expect.stringContaining('name of') };
      await expect(backend.declareQueue(name)).rejects.toMatchObject(refused);
      await expect(backend.declareQueue(unique(), { deadLetterQueue: name })).rejects.toMatchObject(refused);
      await expect(backend.subscribe(name, { maxInFlight: 1 }, () => undefined)).rejects.toMatchObject(
        refused,
      );
      expect((await backendFor().describeQueue(name || 'x')).exists).toBe(false);
    }
    for (const name of ['', 't'.repeat(256)]) {
      const refused = { code: 'CONFIGURATION', message: expect.stringContaining('name of') };
      await expect(backend.declareTopic(name)).rejects.toMatchObject(refused);
      await expect(backend.declareQueue(unique(), { topics: [name] })).rejects.toMatchObject(refused);
      await expect(backend.publishToTopic(name, [message('x')])).rejects.toMatchObject(refused);
      await expect(backend.publishToQueue(name, [message('x')])).rejects.toMatchObject(refused);
    }
  });

  test('a queue with the longest name is declared, retried with the longest delay, and dead-lettered', async () => {
    const backend = backendFor();
    const queue = unique().padEnd(238, 'x');
    const dead = unique().padEnd(238, 'x');
    onTestFinished(async () => {
      await backend.deleteQueue(queue);
      await backend.deleteQueue(dead);
    });
    await backend.declareQueue(queue, { deadLetterQueue: dead });
    const received = inbox((delivery) =>
      delivery.message.content === 'later'
        ? delivery.retry({ delayMs: 4_000_000_000 })
        : delivery.deadLetter({ reason: 'rejected' }),
    );
    await backend.subscribe(queue, { maxInFlight: 1 }, received.receive);
    await backend.publishToQueue(queue, [message('later'), message('never')]);
    await vi.waitFor(async () => expect((await backend.describeQueue(dead)).depth).toBe(1), soon);
    await vi.waitFor(
      async () => expect((await backend.describeQueue(`${queue}.delay.4000000000`)).depth).toBe(1),
      soon,
    );
  });

  test.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])(
    'maxInFlight %d, delays and deadlines that are none are refused',
    async (number) => {
      const backend = backendFor();
      const refused = { code: 'CONFIGURATION' };
      await expect(backend.subscribe('q', { maxInFlight: number }, () => undefined)).rejects.toMatchObject(
        refused,
      );
      if (number >= 0 && Number.isFinite(number)) return;
      await expect(backend.publishToQueue('q', [message('x')], { delayMs: number })).rejects.toMatchObject(
        refused,
      );
      await expect(backend.publishToTopic('t', [message('x')], { deadlineMs: number })).rejects.toMatchObject(
        refused,
      );
    },
  );
});
