import { describe, expect, test, vi } from 'vitest';
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
  url,
} from './support/scene.ts';

/** More than the 16 MiB that may be at hand. */
const followers = 40;
const content = (n: number): string => `${n}:`.padEnd(500_000, 'x');
const numberOf = (one: unknown): number => Number(String(one).split(':')[0]);

describe.skipIf(url === '')(`a key that stands still${url === '' ? ` (${noBroker})` : ''}`, () => {
  test('with more behind it than fits in memory holds up no other key, and goes on in its order', {
    timeout: 120_000,
  }, async () => {
    const backend = backendFor({ partitions: 1, stalledAfterMs: 1_500 });
    const queue = queueName(backend);
    await backend.declareQueue(queue);
    const inTrouble = Array.from({ length: followers }, (_, n) => message(content(n), { key: 'in trouble' }));
    for (const one of inTrouble) await backend.publishToQueue(queue, [one]);
    const others = Array.from({ length: 200 }, (_, n) => message(`${n}:`, { key: `key-${n % 20}` }));
    let release = (): void => undefined;
    const isOver = new Promise<void>((resolve) => {
      release = resolve;
    });
    const own = inbox((delivery) => isOver.then(() => delivery.acknowledge()));
    const rest = inbox((delivery) => delivery.acknowledge());
    await backend.subscribe(queue, { maxInFlight: 10 }, (delivery) =>
      (delivery.message.key === 'in trouble' ? own : rest).receive(delivery),
    );
    await arrived(own.deliveries, 1);
    await backend.publishToQueue(queue, others);
    await arrived(rest.deliveries, 200);
    expect(own.deliveries).toHaveLength(1);
    await vi.waitFor(async () => {
      await backend.publishToQueue(queue, [message('one more', { key: 'well' })]);
      expect(await backend.health()).toMatchObject({
        status: 'degraded',
        detail: expect.stringMatching(/key "in trouble" stands still for \d+ s/),
      });
    }, soon);
    release();
    await arrived(own.deliveries, followers);
    expect(own.contents().map(numberOf)).toEqual(Array.from({ length: followers }, (_, n) => n));
    await vi.waitFor(async () => {
      expect((await backend.describeQueue(queue)).depth).toBe(0);
      expect(await backend.health()).toEqual({ status: 'healthy' });
    }, soon);
  });

  test('goes on past what Kafka deleted while it stood, and says so', { timeout: 120_000 }, async () => {
    const logger = recordingLogger();
    const backend = backendFor({ partitions: 1, logger });
    const queue = queueName(backend);
    await backend.declareQueue(queue);
    const inTrouble = Array.from({ length: followers }, (_, n) => message(content(n), { key: 'in trouble' }));
    for (const one of inTrouble) await backend.publishToQueue(queue, [one]);
    let release = (): void => undefined;
    const isOver = new Promise<void>((resolve) => {
      release = resolve;
    });
    const own = inbox((delivery) => isOver.then(() => delivery.acknowledge()));
    await backend.subscribe(queue, { maxInFlight: 10 }, own.receive);
    await backend.publishToQueue(queue, [message('99:', { key: 'well' })]);
    await arrived(own.deliveries, 2);
    const admin = await foreignAdmin();
    await admin.fetchTopicOffsets(queue);
    await admin.deleteTopicRecords({
      topic: queue,
      partitions: [{ partition: 0, offset: `${followers - 1}` }],
    });
    release();
    await vi.waitFor(() => expect(numberOf(own.contents().at(-1))).toBe(followers - 1), soon);
    const arrivedOnes = own
      .contents()
      .map(numberOf)
      .filter((n) => n < followers);
    expect(arrivedOnes).toEqual(arrivedOnes.toSorted((a, b) => a - b));
    expect(arrivedOnes.length).toBeLessThan(followers);
    const lost = logger.lines.filter((line) => line.includes('deleted a record that waited for its key'));
    expect(lost).toHaveLength(followers - arrivedOnes.length);
    expect(await backend.health()).toMatchObject({
      status: 'degraded',
      detail: expect.stringContaining('deleted before it was consumed'),
    });
    await vi.waitFor(async () => expect((await backend.describeQueue(queue)).depth).toBe(0), soon);
  });
});
