import { randomUUID } from 'node:crypto';
import { ConfigResourceTypes, Kafka, type KafkaMessage, logLevel } from 'kafkajs';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { backendFor, foreignAdmin, message, noBroker, queueName, soon, url } from './support/scene.ts';

/** A record with what its batch says of its producer. */
type RawRecord = KafkaMessage & {
  readonly batchContext: { readonly producerId: string; readonly firstSequence: number };
};

describe.skipIf(url === '')(`publishing to Kafka${url === '' ? ` (${noBroker})` : ''}`, () => {
  // kafkajs lets no idempotent producer be content with less than the confirmation of all in-sync replicas.
  test('records are written by an idempotent producer: each batch has its place in its sequence', async () => {
    const backend = backendFor();
    const queue = queueName(backend);
    await backend.declareQueue(queue, { partitions: 1 });
    for (const content of ['a', 'b', 'c']) await backend.publishToQueue(queue, [message(content)]);
    const records = await rawRecords(queue, 3);
    expect(new Set(records.map(({ batchContext }) => batchContext.producerId)).size).toBe(1);
    expect(Number(records[0]?.batchContext.producerId)).toBeGreaterThanOrEqual(0);
    expect(records.map(({ batchContext }) => batchContext.firstSequence)).toEqual([0, 1, 2]);
  });

  test('200,000 publishes in one turn need one timer to a destination, and arrive', {
    timeout: 120_000,
  }, async () => {
    const backend = backendFor({ partitions: 3 });
    const queue = queueName(backend);
    await backend.declareQueue(queue);
    const timers = (): number => process.getActiveResourcesInfo().filter((one) => one === 'Timeout').length;
    const before = timers();
    const one = message('x');
    const publishing: Promise<void>[] = [];
    for (let n = 0; n < 200_000; n += 1)
      publishing.push(backend.publishToQueue(queue, [one], { deadlineMs: 110_000 }));
    expect(timers() - before).toBeLessThan(20);
    await Promise.all(publishing);
    expect((await backend.describeQueue(queue)).depth).toBe(200_000);
  });

  test('topics are made with the settings asked for: of the queue, its retries and its dead letters', async () => {
    const backend = backendFor({ topicSettings: { 'retention.ms': '7200000', 'cleanup.policy': 'delete' } });
    const [queue, dead] = [queueName(backend), queueName(backend)];
    const topicSettings = { 'retention.ms': '3600000' };
    await backend.declareQueue(queue, { deadLetterQueue: dead, partitions: 2, topicSettings });
    const admin = await foreignAdmin();
    const names = [queue, `${queue}.retry`, dead];
    const { resources } = await admin.describeConfigs({
      includeSynonyms: false,
      resources: names.map((name) => ({ type: ConfigResourceTypes.TOPIC, name })),
    });
    const retentions = resources.map(({ resourceName, configEntries }) => [
      resourceName,
      configEntries.find(({ configName }) => configName === 'retention.ms')?.configValue,
    ]);
    expect(Object.fromEntries(retentions)).toEqual(
      Object.fromEntries(names.map((name) => [name, '3600000'])),
    );
    const { topics } = await admin.fetchTopicMetadata({ topics: names });
    expect(topics.map(({ partitions }) => partitions.length)).toEqual([2, 2, 2]);
  });
});

async function rawRecords(topic: string, count: number): Promise<RawRecord[]> {
  const kafka = new Kafka({ brokers: [new URL(url).host], logLevel: logLevel.NOTHING });
  const consumer = kafka.consumer({ groupId: `raw-${randomUUID()}`, maxWaitTimeInMs: 100 });
  onTestFinished(() => consumer.disconnect());
  await consumer.subscribe({ topics: [topic], fromBeginning: true });
  const records: RawRecord[] = [];
  await consumer.run({ eachMessage: async (given) => void records.push(given.message as RawRecord) });
  await vi.waitFor(() => expect(records).toHaveLength(count), soon);
  return records;
}
