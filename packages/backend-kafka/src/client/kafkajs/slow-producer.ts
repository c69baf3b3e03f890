import { CompressionTypes, type Kafka, type Producer } from 'kafkajs';
import type { OutgoingBatch } from '../contract.ts';
import { bounded } from './errors.ts';
import { retry } from './retry.ts';

interface PartitionProducer {
  readonly producer: Promise<Producer>;
  /** Records whose sending has not succeeded. */
  open: OutgoingBatch['items'] | undefined;
}

/** Writes by the public API of kafkajs: each partition by a producer, a request and connections of its own. */
export class SlowProducer {
  readonly #kafka: Kafka;
  readonly #timeoutMs: number;
  readonly #producers = new Map<string, PartitionProducer>();

  constructor(kafka: Kafka, timeoutMs: number) {
    this.#kafka = kafka;
    this.#timeoutMs = timeoutMs;
  }

  /** As `KafkaClient.send`. A header without a value is written as an empty one: kafkajs can do no other. */
  async send({ topic, partition, items, isCompressed }: OutgoingBatch): Promise<void> {
    const place = `${topic}/${partition}`;
    const state = this.#producers.get(place) ?? { producer: this.#open(), open: undefined };
    this.#producers.set(place, state);
    const { open } = state;
    const isSame = open?.length === items.length && open.every((item, at) => item === items[at]);
    if (open !== undefined && !isSame) {
      // The broker would take other records under the same numbers for a repetition.
      this.#producers.delete(place);
      void bounded(state.producer.then((producer) => producer.disconnect()));
      return this.send({ topic, partition, items, isCompressed });
    }
    state.open = items;
    const producer = await state.producer;
    await producer.send({
      topic,
      acks: -1,
      timeout: this.#timeoutMs,
      compression: isCompressed ? CompressionTypes.GZIP : CompressionTypes.None,
      messages: items.map(({ record: { key, value, headers } }) => ({
        ...{ key, value, partition },
        headers: Object.fromEntries(
          Object.entries(headers).map(([name, header]) => [
            name,
            Array.isArray(header) ? header.map((one) => one ?? Buffer.alloc(0)) : (header ?? Buffer.alloc(0)),
          ]),
        ),
      })),
    });
    state.open = undefined;
  }

  async close(): Promise<void> {
    const producers = [...this.#producers.values()];
    this.#producers.clear();
    await Promise.all(
      producers.map(({ producer }) => bounded(producer.then((opened) => opened.disconnect()))),
    );
  }

  async #open(): Promise<Producer> {
    const producer = this.#kafka.producer({
      idempotent: true,
      maxInFlightRequests: 1,
      allowAutoTopicCreation: false,
      // Each message names its partition.
      createPartitioner: () => () => 0,
      retry,
    });
    await producer.connect();
    return producer;
  }
}
