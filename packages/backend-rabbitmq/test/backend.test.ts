import { describe, expect, test, vi } from 'vitest';
import { backendFor, inbox, message, noBroker, queueName, rawChannel, unique, url } from './support/scene.ts';

const soon = { timeout: 15_000, interval: 20 };

describe.skipIf(url === '')(`RabbitMQ${url === '' ? ` (${noBroker})` : ''}`, () => {
  test('a queue of another type is a conflict, which stops neither subscription nor publishes', async () => {
    const backend = backendFor();
    const queue = queueName(backend);
    await backend.declareQueue(queue);
    const received = inbox((delivery) => delivery.acknowledge());
    await backend.subscribe(queue, { maxInFlight: 5 }, received.receive);
    const publishing = Array.from({ length: 50 }, (_, n) => backend.publishToQueue(queue, [message(`${n}`)]));
    await expect(backend.declareQueue(queue, { type: 'classic' })).rejects.toMatchObject({
      code: 'TOPOLOGY_CONFLICT',
      message: expect.stringContaining('x-queue-type'),
    });
    await Promise.all(publishing);
    await vi.waitFor(() => expect(received.deliveries).toHaveLength(50), soon);
  });

  test('one id published to a queue that exists and to one that does not: each publish gets its own answer', async () => {
    const backend = backendFor();
    const queue = queueName(backend);
    await backend.declareQueue(queue);
    const same = message('same');
    const [there, missing, thereAgain] = await Promise.allSettled([
      backend.publishToQueue(queue, [same]),
      backend.publishToQueue(unique(), [same]),
      backend.publishToQueue(queue, [same]),
    ]);
    expect(there.status).toBe('fulfilled');
    expect(missing).toMatchObject({ reason: { code: 'QUEUE_NOT_FOUND' } });
    expect(thereAgain.status).toBe('fulfilled');
  });

  test('a topic deleted behind our back fails its own publishes; those under way elsewhere arrive', async () => {
    const backend = backendFor();
    const queue = queueName(backend);
    const topic = unique();
    await backend.declareTopic(topic);
    await backend.declareQueue(queue);
    await backend.publishToTopic(topic, [message('known from now on')]);
    await (await rawChannel()).deleteExchange(topic);
    const others = Array.from({ length: 100 }, (_, n) => message(`${n}`));
    const [toTopic, ...toQueue] = await Promise.allSettled([
      backend.publishToTopic(topic, [message('lost its way')]),
      ...others.map((one) => backend.publishToQueue(queue, [one])),
    ]);
    expect(toTopic).toMatchObject({ reason: { code: 'TOPIC_NOT_FOUND' } });
    expect(toQueue.every(({ status }) => status === 'fulfilled')).toBe(true);
    const received = inbox((delivery) => delivery.acknowledge());
    const subscription = await backend.subscribe(
      queue,
      { maxInFlight: 10, untilEmpty: true },
      received.receive,
    );
    await subscription.ended;
    expect(new Set(received.deliveries.map((one) => one.message.id))).toEqual(
      new Set(others.map(({ id }) => id)),
    );
    await backend.declareTopic(topic);
    await backend.publishToTopic(topic, [message('again')]);
    await backend.deleteTopic(topic);
  });

  test('delay queues are quorum queues that confirm before they forget, whatever the type of their target', async () => {
    const backend = backendFor({ defaultQueueType: 'classic' });
    const queue = queueName(backend);
    await backend.declareQueue(queue);
    await backend.publishToQueue(queue, [message('later')], { delayMs: 1_234 });
    const raw = await rawChannel();
    // Declaring with the very same settings is no conflict.
    await raw.assertQueue(`${queue}.delay.1300`, {
      durable: true,
      arguments: {
        'x-queue-type': 'quorum',
        'x-message-ttl': 1_300,
        'x-expires': 86_400_000 + 1_300,
        'x-dead-letter-exchange': '',
        'x-dead-letter-routing-key': queue,
        'x-dead-letter-strategy': 'at-least-once',
        'x-overflow': 'reject-publish',
        'x-delivery-limit': 1_000_000_000,
      },
    });
    const received = inbox((delivery) => delivery.acknowledge());
    await backend.subscribe(queue, { maxInFlight: 1 }, received.receive);
    await vi.waitFor(() => expect(received.deliveries).toHaveLength(1), soon);
    expect(received.deliveries[0]?.attempt).toBe(1);
    expect(received.deliveries[0]?.message.headers).toEqual({});
  });

  test('a delay queue that was deleted is made again, and nothing that is retried into it is lost', async () => {
    const backend = backendFor();
    const queue = queueName(backend);
    await backend.declareQueue(queue);
    const raw = await rawChannel();
    const received = inbox(async (delivery) => {
      if (delivery.attempt > 2) return delivery.acknowledge();
      await raw.deleteQueue(`${queue}.delay.50`);
      return delivery.retry({ delayMs: 50 });
    });
    await backend.subscribe(queue, { maxInFlight: 1 }, received.receive);
    await backend.publishToQueue(queue, [message('persistent')]);
    await vi.waitFor(
      () => expect(received.deliveries.map(({ attempt }) => attempt)).toEqual([1, 2, 3]),
      soon,
    );
  });

  for (const type of ['quorum', 'classic'] as const) {
    test(`another process that renews a delay queue disturbs nothing that waits there for a ${type} queue`, async () => {
      const backend = backendFor();
      const queue = queueName(backend);
      await backend.declareQueue(queue, { type });
      const began = Date.now();
      await backend.publishToQueue(queue, [message('waits')], { delayMs: 1_500 });
      const another = backendFor();
      await another.publishToQueue(queue, [message('renews')], { delayMs: 1_500 });
      let waited = 0;
      const received = inbox((delivery) => {
        if (delivery.message.content === 'waits') waited = Date.now() - began;
        return delivery.acknowledge();
      });
      await backend.subscribe(queue, { maxInFlight: 5 }, received.receive);
      await vi.waitFor(() => expect(received.deliveries).toHaveLength(2), soon);
      expect(waited).toBeGreaterThan(1_450);
      expect(received.deliveries.map(({ attempt }) => attempt)).toEqual([1, 1]);
    });

    test(`on a ${type} queue runs that failed are counted, at once and delayed, and a process that dies is a redelivery`, async () => {
      const crashing = backendFor();
      const queue = queueName(backendFor());
      await crashing.declareQueue(queue, { type });
      await crashing.publishToQueue(queue, [message('poison')]);
      const unsettled = inbox();
      await crashing.subscribe(queue, { maxInFlight: 1 }, unsettled.receive);
      await vi.waitFor(() => expect(unsettled.deliveries).toHaveLength(1), soon);
      await crashing.close();
      const received = inbox((delivery) => {
        if (delivery.attempt === 3) return delivery.acknowledge();
        return delivery.retry(delivery.attempt === 1 ? {} : { delayMs: 20 });
      });
      await backendFor().subscribe(queue, { maxInFlight: 1 }, received.receive);
      await vi.waitFor(
        () => expect(received.deliveries.map(({ attempt }) => attempt)).toEqual([1, 2, 3]),
        soon,
      );
      expect(received.deliveries.map(({ redeliveries }) => redeliveries)).toEqual([1, 0, 0]);
      expect(received.deliveries.map((one) => one.message.headers)).toEqual([{}, {}, {}]);
    });
  }

  test('a process that did not declare the queue dead-letters too; the copy starts at attempt 1 again', async () => {
    const declaring = backendFor();
    const queue = queueName(declaring);
    const deadLetterQueue = queueName(declaring);
    await declaring.declareQueue(queue, { deadLetterQueue });
    expect((await declaring.describeQueue(queue)).deadLetterQueue).toBe(deadLetterQueue);
    const other = backendFor();
    expect((await other.describeQueue(queue)).deadLetterQueue).toBe(deadLetterQueue);
    await other.subscribe(queue, { maxInFlight: 1 }, (delivery) => {
      if (delivery.attempt < 3) delivery.retry();
      else delivery.deadLetter({ reason: 'rejected' });
    });
    const dead = inbox((delivery) => delivery.acknowledge());
    await other.subscribe(deadLetterQueue, { maxInFlight: 1 }, dead.receive);
    await other.publishToQueue(queue, [message('hopeless')]);
    await vi.waitFor(() => expect(dead.deliveries).toHaveLength(1), soon);
    expect(dead.deliveries[0]?.attempt).toBe(1);
    expect(dead.deliveries[0]?.message.headers.melange_attempts).toBe('3');
  });

  test('while the dead-letter queue is gone, dead-lettering rejects, health says so, and the message stays', async () => {
    const backend = backendFor();
    const queue = queueName(backend);
    const deadLetterQueue = queueName(backend);
    await backend.declareQueue(queue, { deadLetterQueue });
    await (await rawChannel()).deleteQueue(deadLetterQueue);
    const rejections: unknown[] = [];
    const received = inbox(async (delivery) => {
      try {
        await delivery.deadLetter({ reason: 'rejected' });
      } catch (error) {
        rejections.push(error);
        // It may be settled in another way.
        await delivery.release?.();
      }
    });
    await backend.subscribe(queue, { maxInFlight: 1 }, received.receive);
    await backend.publishToQueue(queue, [message('kept')]);
    await vi.waitFor(
      async () =>
        expect(await backend.health()).toMatchObject({
          status: 'degraded',
          detail: expect.stringContaining(`queue "${queue}"`),
        }),
      soon,
    );
    await vi.waitFor(() => expect(received.deliveries.length).toBeGreaterThan(1), soon);
    // Given back by this process: neither a failed run nor a crash.
    expect(received.deliveries[1]).toMatchObject({ attempt: 1, redeliveries: 0 });
    expect(rejections[0]).toMatchObject({
      code: 'CONFIGURATION',
      message: expect.stringContaining(deadLetterQueue),
    });
    await backend.declareQueue(queue, { deadLetterQueue });
    await vi.waitFor(async () => expect(await backend.health()).toEqual({ status: 'healthy' }), soon);
    await vi.waitFor(async () => expect((await backend.describeQueue(deadLetterQueue)).depth).toBe(1), soon);
  });

  test('a queue deleted while messages are received is waited for; its consumer goes on when it is declared', async () => {
    const [warn, info] = [vi.fn(), vi.fn()];
    const backend = backendFor({ logger: { debug: vi.fn(), info, warn, error: vi.fn() } });
    const queue = queueName(backend);
    await backend.declareQueue(queue);
    const received = inbox((delivery) => delivery.acknowledge());
    await backend.subscribe(queue, { maxInFlight: 1 }, received.receive);
    await (await rawChannel()).deleteQueue(queue);
    const subject = `receiving from queue "${queue}"`;
    await vi.waitFor(
      async () =>
        expect(await backend.health()).toMatchObject({
          status: 'degraded',
          detail: expect.stringMatching(/receiving from queue .* does not exist/),
        }),
      soon,
    );
    await backendFor().declareQueue(queue);
    await vi.waitFor(async () => expect(await backend.health()).toEqual({ status: 'healthy' }), soon);
    await backend.publishToQueue(queue, [message('after')]);
    await vi.waitFor(() => expect(received.deliveries).toHaveLength(1), soon);
    expect(warn.mock.calls.map(([line]) => line)).toEqual([`trouble ${subject}`]);
    expect(info.mock.calls.map(([line]) => line)).toEqual([`recovered from trouble ${subject}`]);
  });

  test('a queue that somebody else deleted: a consumer says so in health, a run until empty ends with the reason', async () => {
    const declaring = backendFor();
    const queue = queueName(declaring);
    await declaring.declareQueue(queue);
    await declaring.publishToQueue(queue, [message('one'), message('two')]);
    const backend = backendFor();
    const received = inbox();
    const run = await backend.subscribe(queue, { maxInFlight: 1, untilEmpty: true }, received.receive);
    await vi.waitFor(() => expect(received.deliveries).toHaveLength(1), soon);
    const consumer = await backend.subscribe(queue, { maxInFlight: 1 }, () => undefined);
    await (await rawChannel()).deleteQueue(queue);
    await vi.waitFor(
      async () =>
        expect(await backend.health()).toMatchObject({
          status: 'degraded',
          detail: expect.stringContaining(queue),
        }),
      soon,
    );
    await received.deliveries[0]?.acknowledge();
    await expect(run.ended).rejects.toMatchObject({ code: 'QUEUE_NOT_FOUND' });
    await consumer.close();
  });

  test('a subscription that closes counts no attempt of the messages that wait', async () => {
    const backend = backendFor();
    const queue = queueName(backend);
    await backend.declareQueue(queue);
    await backend.publishToQueue(queue, [message('finished'), message('waits')]);
    const received = inbox();
    const subscription = await backend.subscribe(queue, { maxInFlight: 1 }, received.receive);
    await vi.waitFor(() => expect(received.deliveries).toHaveLength(1), soon);
    const closing = subscription.close();
    await received.deliveries[0]?.acknowledge();
    await closing;
    const next = inbox();
    await backend.subscribe(queue, { maxInFlight: 1 }, next.receive);
    await vi.waitFor(() => expect(next.deliveries).toHaveLength(1), soon);
    expect(next.deliveries[0]?.message.content).toBe('waits');
    expect(next.deliveries[0]?.attempt).toBe(1);
    await next.deliveries[0]?.acknowledge();
  });

  test('deleting a queue takes its dead-letter exchange and delay queues with it', async () => {
    const backend = backendFor();
    const queue = unique();
    const deadLetterQueue = queueName(backend);
    await backend.declareQueue(queue, { deadLetterQueue });
    await backend.publishToQueue(queue, [message('late')], { delayMs: 60_000 });
    expect((await backend.describeQueue(`${queue}.delay.60000`)).depth).toBe(1);
    await backend.deleteQueue(queue);
    for (const name of [queue, `${queue}.delay.60000`]) {
      expect((await backend.describeQueue(name)).exists).toBe(false);
    }
    const raw = await rawChannel();
    await expect(raw.checkExchange(`${queue}.dead-letter`)).rejects.toMatchObject({ code: 404 });
  });
});
