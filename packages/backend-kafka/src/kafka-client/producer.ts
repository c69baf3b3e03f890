import { CompressionTypes, type Kafka, Partitioners, type Producer } from 'kafkajs';
import type { KafkaProducer, OutgoingBatch } from './contract.ts';
import { asMelangeError, bounded } from './errors.ts';
import { retry } from './retry.ts';

/** A connected producer. `timeoutMs` bounds the replicas' confirmation. */
export async function openProducer(kafka: Kafka, timeoutMs: number): Promise<KafkaProducer> {
  const producer = kafka.producer({
    idempotent: true,
    maxInFlightRequests: 1,
    allowAutoTopicCreation: false,
    createPartitioner: stickyPartitioner,
    retry,
  });
  try {
    await producer.connect();
  } catch (error) {
    void producer.disconnect().catch(() => undefined);
    throw asMelangeError(error);
  }
  return {
    send: (batches, isCompressed) => send(producer, batches, timeoutMs, isCompressed),
    close: () => bounded(producer.disconnect()),
  };
}

interface SendMessage {
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: Record<string, Buffer>;
  readonly spread: number;
}

/** As the Java client does with keys. A choice holds for the retries of a send, or its sequence numbers would not. */
function stickyPartitioner(): ReturnType<typeof Partitioners.DefaultPartitioner> {
  const byKey = Partitioners.DefaultPartitioner();
  return (choice) => {
    const { key, spread } = choice.message as unknown as SendMessage;
    return key === null ? spread % choice.partitionMetadata.length : byKey(choice);
  };
}

async function send(
  producer: Producer,
  batches: readonly OutgoingBatch[],
  timeout: number,
  isCompressed = false,
): Promise<void> {
  const topicMessages = batches.map(({ topic, records }) => ({
    topic,
    messages: records.map(({ record: { key, value, headers }, spread }) => {
      const message: SendMessage = { key, value, headers: headers as Record<string, Buffer>, spread };
      return message;
    }),
  }));
  try {
    const compression = isCompressed ? CompressionTypes.GZIP : CompressionTypes.None;
    await producer.sendBatch({ acks: -1, timeout, compression, topicMessages });
  } catch (error) {
    throw asMelangeError(error);
  }
}
