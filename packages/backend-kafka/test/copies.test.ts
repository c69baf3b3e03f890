import { randomBytes, randomUUID } from 'node:crypto';
import { silentLogger } from '@melange/core';
import { Kafka, type KafkaMessage, logLevel, Partitioners } from 'kafkajs';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { KafkajsClient } from '../src/client/kafkajs/client.ts';
import { settingsOf } from '../src/options.ts';
import { address, arrived, backendFor, inbox, noBroker, queueName, soon, url } from './support/scene.ts';

/** The first record of a topic, as kafkajs reads it. */
async function firstOf(topic: string): Promise<KafkaMessage> {
  const consumer = new Kafka({ brokers: [address], logLevel: logLevel.NOTHING }).consumer({
    groupId: `raw-${randomUUID()}`,
    maxWaitTimeInMs: 100,
  });
  onTestFinished(() => consumer.disconnect());
  await consumer.connect();
  await consumer.subscribe({ topics: [topic], fromBeginning: true });
  const read: KafkaMessage[] = [];
  await consumer.run({ eachMessage: async ({ message }) => void read.push(message) });
  await vi.waitFor(() => expect(read.length).toBeGreaterThan(0), soon);
  return read[0] as KafkaMessage;
}

describe.skipIf(url === '')(`copies of foreign records${url === '' ? ` (${noBroker})` : ''}`, () => {
  test('have all of their headers, with null values and repeated names, and say when the record was published', async () => {
    const backend = backendFor({ partitions: 1 });
    const [queue, dead] = [queueName(backend), queueName(backend)];
    await backend.declareQueue(queue, { deadLetterQueue: dead });
    const watch = { logger: silentLogger, onSlow: () => undefined };
    const client = new KafkajsClient(settingsOf({ brokers: [address] }), watch);
    onTestFinished(() => client.close());
    const bytes = Buffer.of(0xff, 0, 0xc3);
    const headers = { none: null, twice: [Buffer.from('1'), null, bytes], message_id: Buffer.alloc(0) };
    const record = { key: Buffer.from('k'), value: Buffer.from('1'), headers };
    await client.send({ topic: queue, partition: 0, items: [{ record }], isCompressed: false });
    const received = inbox();
    await backend.subscribe(queue, { maxInFlight: 1 }, received.receive);
    await arrived(received.deliveries, 1);
    expect(received.deliveries[0]?.message).toMatchObject({
      id: `${queue}-0-0`,
      headers: { none: '', twice: '\ufffd\u0000\ufffd' },
    });
    await received.deliveries[0]?.retry({ delayMs: 10 });
    await arrived(received.deliveries, 2);
    expect(received.deliveries[1]?.message.headers).toEqual({ none: '', twice: '\ufffd\u0000\ufffd' });
    await received.deliveries[1]?.deadLetter({ reason: 'test' });
    const original = await firstOf(queue);
    expect(original.headers?.none).toBeNull();
    for (const topic of [`${queue}.retry`, dead]) {
      const copy = await firstOf(topic);
      expect(copy.headers?.none).toBeNull();
      expect(copy.headers?.twice).toEqual([Buffer.from('1'), null, bytes]);
      expect(String(copy.headers?.message_id)).toBe(`${queue}-0-0`);
      expect(String(copy.headers?.melange_record_timestamp)).toBe(original.timestamp);
      // Its own time is that of the copy, by which Kafka deletes it.
      expect(Number(copy.timestamp)).toBeGreaterThan(Number(original.timestamp));
    }
  });

  test('of records with a time of their own keep that time, be it of the far future', async () => {
    const backend = backendFor({ partitions: 1 });
    const [queue, dead] = [queueName(backend), queueName(backend)];
    const topicSettings = { 'message.timestamp.after.max.ms': '9223372036854775807' };
    await backend.declareQueue(queue, { deadLetterQueue: dead, topicSettings });
    const producer = new Kafka({ brokers: [address], logLevel: logLevel.NOTHING }).producer({
      createPartitioner: Partitioners.DefaultPartitioner,
    });
    await producer.connect();
    onTestFinished(() => producer.disconnect());
    const timestamps = ['4102444800000', '1000', '4102444800123'];
    await producer.send({
      topic: queue,
      messages: timestamps.map((timestamp) => ({ value: 'x', timestamp })),
    });
    const received = inbox((delivery) => delivery.deadLetter({ reason: 'test' }));
    await backend.subscribe(queue, { maxInFlight: 1 }, received.receive);
    await arrived(received.deliveries, 3);
    expect(String((await firstOf(dead)).headers?.melange_record_timestamp)).toBe('4102444800000');
    expect(received.deliveries.map(({ message: { headers } }) => headers)).toEqual([{}, {}, {}]);
  });

  test('that cannot be written for their size wait in the process instead, and are counted', async () => {
    const backend = backendFor({ partitions: 1 });
    const queue = queueName(backend);
    await backend.declareQueue(queue);
    const producer = new Kafka({ brokers: [address], logLevel: logLevel.NOTHING }).producer({
      createPartitioner: Partitioners.DefaultPartitioner,
    });
    await producer.connect();
    onTestFinished(() => producer.disconnect());
    await producer.send({ topic: queue, messages: [{ key: 'k', value: randomBytes(1_048_450) }] });
    const received = inbox((delivery) => {
      if (delivery.attempt === 1) return delivery.retry({ delayMs: 50 });
      if (received.deliveries.length === 2) return delivery.retry({ because: 'deferred' });
      return delivery.acknowledge();
    });
    await backend.subscribe(queue, { maxInFlight: 1 }, received.receive);
    await arrived(received.deliveries, 3);
    expect(received.deliveries.map(({ attempt }) => attempt)).toEqual([1, 2, 2]);
    await vi.waitFor(async () => expect((await backend.describeQueue(queue)).depth).toBe(0), soon);
  });
});
