import { KafkaBackend } from '@melange/backend-kafka';
import { QueuePublisher, silentLogger } from '@melange/core';
import { openKafka } from '../kafka-client.ts';
import { serializersOfOrders } from '../melange.ts';
import { OrderPlaced } from '../order.ts';
import type { Stage } from '../table.ts';
import { fill, settled } from './fill.ts';

const partitions = 4;
const keys = 1_000;
const publishedAtOnce = 2_000;

/**
 * A topic of four partitions for each contender, its messages under a thousand keys, read again from the start in
 * every round. A contestant whose file is Melange's finds
 * messages as Melange publishes them, any other plain JSON.
 */
export async function kafkaStage(address: string): Promise<Stage> {
  const kafka = openKafka(address);
  const admin = kafka.admin();
  const producer = kafka.producer({ idempotent: true });
  await Promise.all([admin.connect(), producer.connect()]);
  const backend = new KafkaBackend({ brokers: [address], logger: silentLogger });
  const publisher = new QueuePublisher({ backend, serializers: serializersOfOrders() });
  const keyOf = (index: number): string => `customer-${index % keys}`;
  const uncommitted = async (topic: string): Promise<number> => {
    const ends = await admin.fetchTopicOffsets(topic);
    const [committed] = await admin.fetchOffsets({ groupId: topic, topics: [topic] });
    const done = new Map(committed?.partitions.map(({ partition, offset }) => [partition, Number(offset)]));
    return ends.reduce(
      (sum, { partition, high }) => sum + Number(high) - Math.max(0, done.get(partition) ?? 0),
      0,
    );
  };
  const topics = new Set<string>();
  return {
    async before({ file }, { queue, warmUp, messages }) {
      if (topics.has(queue)) return;
      topics.add(queue);
      const isOurs = file.endsWith('-melange');
      if (isOurs) await backend.declareQueue(queue, { partitions });
      else
        await admin.createTopics({
          topics: [{ topic: queue, numPartitions: partitions }],
          waitForLeaders: true,
        });
      await fill(warmUp + messages, publishedAtOnce, async (indexes) => {
        if (isOurs) {
          await publisher.publishBatch(
            queue,
            indexes.map((index) => ({ value: new OrderPlaced(index), key: keyOf(index) })),
          );
          return;
        }
        await producer.send({
          topic: queue,
          messages: indexes.map((index) => ({
            key: keyOf(index),
            value: JSON.stringify(new OrderPlaced(index)),
          })),
        });
      });
    },
    async after({ name }, { queue }) {
      const left = await settled(
        () => uncommitted(queue),
        (count) => count === 0,
      );
      if (left !== 0) throw new Error(`${name}: ${left} messages are not committed at the end`);
      // Its next member is without commits, and begins at the start.
      await admin.deleteGroups([queue]);
    },
    async close() {
      // Not before: a producer asks again and again for the topics that it once sent to.
      await producer.disconnect();
      for (const topic of topics) await backend.deleteQueue(topic);
      await backend.close();
      await admin.disconnect();
    },
  };
}
