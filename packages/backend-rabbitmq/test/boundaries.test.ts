import { describe, expect, onTestFinished, test, vi } from 'vitest';
import {
  arrived,
  backendFor,
  inbox,
  message,
  noBroker,
  queueName,
  rawChannel,
  url,
} from './support/scene.ts';

const soon = { timeout: 20_000, interval: 20 };

describe.skipIf(url === '')(`at its boundaries${url === '' ? ` (${noBroker})` : ''}`, () => {
  test.each([false, true])(
    'subscribe hands over nothing before it has resolved (until empty: %s)',
    async (untilEmpty) => {
      const backend = backendFor();
      const queue = queueName(backend);
      await backend.declareQueue(queue);
      await backend.publishToQueue(
        queue,
        Array.from({ length: 600 }, (_, n) => message(`${n}`)),
      );
      let isResolved = false;
      let early = 0;
      const received = inbox((delivery) => {
        if (!isResolved) early += 1;
        return delivery.acknowledge();
      });
      await backend.subscribe(queue, { maxInFlight: 600, untilEmpty }, received.receive);
      isResolved = true;
      await arrived(received.deliveries, 600);
      expect(early).toBe(0);
      expect(received.deliveries.map(({ message: { content } }) => content)).toEqual(
        Array.from({ length: 600 }, (_, n) => `${n}`),
      );
    },
  );

  test('one that closes as soon as it has resolved hands over nothing, and all comes again', async () => {
    const backend = backendFor();
    const queue = queueName(backend);
    await backend.declareQueue(queue);
    await backend.publishToQueue(
      queue,
      Array.from({ length: 50 }, (_, n) => message(`${n}`)),
    );
    const never = inbox();
    await (await backend.subscribe(queue, { maxInFlight: 50 }, never.receive)).close();
    expect(never.deliveries).toEqual([]);
    const received = inbox((delivery) => delivery.acknowledge());
    await backend.subscribe(queue, { maxInFlight: 50 }, received.receive);
    await arrived(received.deliveries, 50);
    // Given back by this process.
    expect(new Set(received.deliveries.map(({ redeliveries }) => redeliveries))).toEqual(new Set([0]));
  });

  test('close waits for the publishes that were called before it, delayed and to a topic that was not known, too', async () => {
    const [backend, direct] = [backendFor(), backendFor()];
    const queue = queueName(direct);
    const topic = `${queue}-topic`;
    onTestFinished(() => direct.deleteTopic(topic));
    await direct.declareQueue(queue, { topics: [topic] });
    const publishing = [
      backend.publishToQueue(queue, [message('1')]),
      backend.publishToTopic(topic, [message('2')]),
      backend.publishToQueue(queue, [message('3')], { delayMs: 1 }),
    ];
    await backend.close();
    await Promise.all(publishing);
    await vi.waitFor(async () => expect((await direct.describeQueue(queue)).depth).toBe(3), soon);
  });

  test.each([3_600_000, -3_600_000])(
    'the time of the machine is set by %d ms: publishes arrive, and none fails for it',
    async (stepMs) => {
      const backend = backendFor();
      const queue = queueName(backend);
      await backend.declareQueue(queue);
      await backend.publishToQueue(queue, [message('connects')]);
      const publishing = Array.from({ length: 500 }, (_, n) =>
        backend.publishToQueue(queue, [message(`${n}`)]),
      );
      const now = Date.now;
      vi.spyOn(Date, 'now').mockImplementation(() => now() + stepMs);
      onTestFinished(() => void vi.restoreAllMocks());
      await Promise.all(publishing);
      await backend.publishToQueue(queue, [message('after')], { deadlineMs: 20_000 });
      expect((await backend.describeQueue(queue)).depth).toBe(502);
    },
  );

  test('a queue that is full is a trouble of its own, until it takes messages again', async () => {
    const backend = backendFor();
    const [full, other] = [queueName(backend), queueName(backend)];
    const raw = await rawChannel();
    await raw.assertQueue(full, { arguments: { 'x-max-length': 1, 'x-overflow': 'reject-publish' } });
    await backend.declareQueue(other);
    await backend.publishToQueue(full, [message('fits')]);
    const waiting = backend.publishToQueue(full, [message('waits')]);
    await vi.waitFor(
      async () =>
        expect(await backend.health()).toMatchObject({
          status: 'degraded',
          detail: expect.stringMatching(new RegExp(`publishing to queue "${full}".*x-max-length`)),
        }),
      soon,
    );
    await backend.publishToQueue(other, [message('passes')]);
    expect(await backend.health()).toMatchObject({ status: 'degraded' });
    await raw.get(full, { noAck: true });
    await waiting;
    expect(await backend.health()).toEqual({ status: 'healthy' });
  });

  test('a dead-letter queue that is full: health says so, and the message stays', async () => {
    const backend = backendFor({ publishTimeoutMs: 1_000 });
    const [queue, dead] = [queueName(backend), queueName(backend)];
    await backend.declareQueue(dead);
    await backend.declareQueue(queue, { deadLetterQueue: dead });
    const raw = await rawChannel();
    await raw.deleteQueue(dead);
    await raw.assertQueue(dead, { arguments: { 'x-max-length': 1, 'x-overflow': 'reject-publish' } });
    await raw.bindQueue(dead, `${queue}.dead-letter`, '');
    const errors: unknown[] = [];
    await backend.subscribe(queue, { maxInFlight: 1 }, (delivery) =>
      delivery.deadLetter({ reason: 'rejected' }).catch((error) => errors.push(error)),
    );
    await backend.publishToQueue(queue, [message('first'), message('second')]);
    await vi.waitFor(() => expect(errors.length).toBeGreaterThan(0), soon);
    expect(errors[0]).toMatchObject({ code: 'QUEUE_FULL' });
    expect(await backend.health()).toMatchObject({ status: 'degraded' });
    await raw.purgeQueue(dead);
    await vi.waitFor(async () => expect(await backend.health()).toEqual({ status: 'healthy' }), soon);
  });
});
