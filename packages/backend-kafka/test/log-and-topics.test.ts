import { Kafka, logLevel } from 'kafkajs';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import {
  address,
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

async function deleteRecordsBefore(topic: string, offset: string): Promise<void> {
  const admin = await foreignAdmin();
  // kafkajs deletes only what it has looked at before.
  await admin.fetchTopicOffsets(topic);
  await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset }] });
}

const numbered = (count: number, content = '') =>
  Array.from({ length: count }, (_, n) => message(`${n}${content}`, { key: `key-${n}` }));

describe.skipIf(url === '')(
  `what becomes of Kafka's topics meanwhile${url === '' ? ` (${noBroker})` : ''}`,
  () => {
    test('records that were deleted before they were consumed are an error and a health, not silence', async () => {
      const first = backendFor();
      const queue = queueName(first);
      await first.declareQueue(queue, { partitions: 1 });
      await first.publishToQueue(queue, [message('first')]);
      const received = inbox((delivery) => delivery.acknowledge());
      await first.subscribe(queue, { maxInFlight: 1 }, received.receive);
      await arrived(received.deliveries, 1);
      await first.close();

      const logger = recordingLogger();
      const next = backendFor({ logger });
      await next.publishToQueue(queue, numbered(10));
      await deleteRecordsBefore(queue, '8');
      const rest = inbox((delivery) => delivery.acknowledge());
      await next.subscribe(queue, { maxInFlight: 1 }, rest.receive);
      await arrived(rest.deliveries, 3);
      expect(rest.contents()).toEqual(['7', '8', '9']);
      await vi.waitFor(async () => {
        expect(await next.health()).toMatchObject({
          status: 'degraded',
          detail: expect.stringMatching(
            `deleted .*: (7 record\\(s\\)|records) of ${queue}/0 before offset 8`,
          ),
        });
      }, soon);
      expect(logger.lines).toContain('Kafka deleted records before they were consumed: raise the retention');
    });

    test('a queue that was never consumed may begin anywhere: nobody lost anything', async () => {
      const logger = recordingLogger();
      const backend = backendFor({ logger });
      const queue = queueName(backend);
      await backend.declareQueue(queue, { partitions: 1 });
      await backend.publishToQueue(queue, numbered(10));
      await deleteRecordsBefore(queue, '8');
      const received = inbox((delivery) => delivery.acknowledge());
      await backend.subscribe(queue, { maxInFlight: 1 }, received.receive);
      await arrived(received.deliveries, 2);
      expect((await backend.health()).status).toBe('healthy');
      expect(logger.lines).toEqual([]);
    });

    test('records of an aborted transaction are given to nobody, and what ends in its marker has an end', async () => {
      const backend = backendFor();
      const queue = queueName(backend);
      await backend.declareQueue(queue, { partitions: 1 });
      const producer = new Kafka({ brokers: [address], logLevel: logLevel.NOTHING }).producer({
        transactionalId: queue,
        maxInFlightRequests: 1,
        idempotent: true,
      });
      await producer.connect();
      onTestFinished(() => producer.disconnect());
      for (const [value, end] of [
        ['aborted first', 'abort'],
        ['committed', 'commit'],
        ['aborted last', 'abort'],
      ] as const) {
        const transaction = await producer.transaction();
        await transaction.send({ topic: queue, messages: [{ value }, { value: `${value}, too` }] });
        await transaction[end]();
      }
      const received = inbox((delivery) => delivery.acknowledge());
      const options = { maxInFlight: 5, untilEmpty: true };
      const subscription = await backend.subscribe(queue, options, received.receive);
      await subscription.ended;
      await subscription.close();
      expect(received.contents()).toEqual(['committed', 'committed, too']);
      expect((await backend.describeQueue(queue)).depth).toBe(0);
    });

    test('partitions that are added while a consumer runs are read by it', async () => {
      const backend = backendFor({ metadataMaxAgeMs: 500 });
      const queue = queueName(backend);
      await backend.declareQueue(queue, { partitions: 1 });
      const received = inbox((delivery) => delivery.acknowledge());
      await backend.subscribe(queue, { maxInFlight: 10 }, received.receive);
      await backend.publishToQueue(queue, [message('before')]);
      await arrived(received.deliveries, 1);
      const admin = await foreignAdmin();
      await admin.createPartitions({ topicPartitions: [{ topic: queue, count: 4 }] });
      // One that knows of the new ones from the start.
      await backendFor().publishToQueue(queue, numbered(40));
      await arrived(received.deliveries, 41);
      const offsets = await admin.fetchTopicOffsets(queue);
      expect(offsets.filter(({ high }) => Number(high) > 0)).toHaveLength(4);
      await vi.waitFor(async () => expect((await backend.describeQueue(queue)).depth).toBe(0), soon);
      expect(received.deliveries).toHaveLength(41);
    });

    test('a queue that is deleted and made again elsewhere while a consumer runs is read from its new beginning', {
      timeout: 60_000,
    }, async () => {
      const backend = backendFor({ metadataMaxAgeMs: 500 });
      const queue = queueName(backend);
      await backend.declareQueue(queue, { partitions: 1 });
      const received = inbox((delivery) => delivery.acknowledge());
      await backend.subscribe(queue, { maxInFlight: 10 }, received.receive);
      await backend.publishToQueue(queue, numbered(30, ' old'));
      await arrived(received.deliveries, 30);
      const other = backendFor();
      await other.deleteQueue(queue);
      await other.declareQueue(queue, { partitions: 1 });
      await other.publishToQueue(queue, numbered(5, ' new'));
      const patience = { timeout: 30_000, interval: 50 };
      const fresh = () => received.contents().filter((content) => String(content).endsWith('new'));
      await vi.waitFor(() => expect(new Set(fresh()).size).toBe(5), patience);
      await vi.waitFor(async () => expect((await backend.health()).status).toBe('healthy'), patience);
    });

    test('a stuck message bounds what is taken after it in its partition, and no longer than it is stuck', async () => {
      const backend = backendFor({ maxTrackedOffsets: 100 });
      const queue = queueName(backend);
      await backend.declareQueue(queue, { partitions: 1 });
      // Several fetches of at most 1 MiB each.
      await backend.publishToQueue(queue, numbered(5_000, 'x'.repeat(1_000)));
      const received = inbox((delivery) =>
        delivery.message.key === 'key-0' ? undefined : delivery.acknowledge(),
      );
      await backend.subscribe(queue, { maxInFlight: 50 }, received.receive);
      let before = -1;
      await vi.waitFor(
        () => {
          const now = received.deliveries.length;
          const isStill = now > 0 && now === before;
          before = now;
          expect(isStill).toBe(true);
        },
        { timeout: 15_000, interval: 1_000 },
      );
      expect(before).toBeGreaterThan(100);
      expect(before).toBeLessThan(2_500);
      await received.deliveries[0]?.acknowledge();
      await arrived(received.deliveries, 5_000);
      await vi.waitFor(async () => expect((await backend.describeQueue(queue)).depth).toBe(0), soon);
      expect(received.deliveries).toHaveLength(5_000);
    });
  },
);
