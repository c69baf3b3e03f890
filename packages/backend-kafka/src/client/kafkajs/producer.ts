import { CompressionTypes, type Kafka, Partitioners, type Producer } from 'kafkajs';
import type { KafkaProducer, OutgoingItem } from '../contract.ts';
import { asMelangeError, bounded } from '../errors.ts';
import { headersFor } from './null-headers.ts';
import { retry } from './retry.ts';

/** Bounds of a producer, in ms. */
export interface ProducerSettings {
  /** How long replicas may take to confirm. */
  readonly requestTimeoutMs: number;
  /** Age at which partitions and their leaders are asked for again. */
  readonly metadataMaxAgeMs: number;
}

/** A connected producer. */
export async function openProducer(kafka: Kafka, settings: ProducerSettings): Promise<KafkaProducer> {
  const producer = kafka.producer({
    idempotent: true,
    maxInFlightRequests: 1,
    allowAutoTopicCreation: false,
    metadataMaxAge: settings.metadataMaxAgeMs,
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
    send: (topic, items, isCompressed) =>
      send(producer, topic, items, settings.requestTimeoutMs, isCompressed),
    close: () => bounded(producer.disconnect()),
  };
}

interface SendMessage {
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: Record<string, Buffer | Buffer[]>;
  readonly item: OutgoingItem;
}

/**
 * As the Java client does with keys. A choice holds for as long as the producer does: a record that is sent again to
 * another partition, which was added meanwhile, would leave its sequence number to a record that the broker then drops.
 */
function stickyPartitioner(): ReturnType<typeof Partitioners.DefaultPartitioner> {
  const byKey = Partitioners.DefaultPartitioner();
  return (choice) => {
    const { key, item } = choice.message as unknown as SendMessage;
    item.partition ??= key === null ? item.spread % choice.partitionMetadata.length : byKey(choice);
    return item.partition;
  };
}

async function send(
  producer: Producer,
  topic: string,
  items: readonly OutgoingItem[],
  timeout: number,
  isCompressed = false,
): Promise<void> {
  const messages = items.map((item) => {
    const { key, value, headers } = item.record;
    const message: SendMessage = { key, value, headers: headersFor(headers), item };
    return message;
  });
  try {
    const compression = isCompressed ? CompressionTypes.GZIP : CompressionTypes.None;
    await producer.send({ acks: -1, timeout, compression, topic, messages });
  } catch (error) {
    throw asMelangeError(error);
  }
}
