import type { BatchAnswer, Destination, Outgoing, PublishDriver } from '@melange/backend-kit';
import {
  MelangeError,
  type Message,
  MessageTooLargeError,
  QueueNotFoundError,
  TopicNotFoundError,
} from '@melange/core';
import type { KafkaClient } from './client/index.ts';
import { isRefusal, typeOf } from './errors.ts';
import type { Topics } from './topology/topics.ts';
import { type OutgoingRecord, recordSize, sizeOf, snapshotOf, toRecord } from './wire/message.ts';
import { partitionOfKey } from './wire/partition.ts';

/** A record on its way: the same object each time that it is sent. */
export interface Publishable {
  readonly record: OutgoingRecord;
  /** Size of the record. */
  readonly bytes: number;
  /** Records without a key and with the same number go to the same partition. */
  readonly spread: number;
  readonly isCompressed: boolean;
}

/** Largest content of a message. */
export const maxMessageBytes = 1_000_000;
/** Largest record, with its key and headers. */
export const maxRecordBytes = 1_020_000;
/** Brokers take batches of 1 MiB by default. */
const limits = { maxMessages: 1_000, maxBytes: 900_000 };
/** Messages without a key that go to one partition before the next one has its turn. */
const messagesPerSpread = 500;

/** Makes its record when it is sent: messages that wait, a million perhaps, are not in memory as records. */
class MessageItem implements Publishable {
  readonly message: Message;
  readonly bytes: number;
  readonly spread: number;
  readonly isCompressed = false;

  constructor(message: Message, bytes: number, spread: number) {
    this.message = message;
    this.bytes = bytes;
    this.spread = spread;
  }

  get record(): OutgoingRecord {
    return toRecord(this.message);
  }
}

/**
 * A copy of a record that is in Kafka already, whatever its size: `compressed` where it is large.
 *
 * @param spread its partition, where it has no key.
 */
export function publishableCopy(record: OutgoingRecord, spread: number, mayCompress = true): Publishable {
  const bytes = sizeOf(record);
  return { record, bytes, spread, isCompressed: mayCompress && bytes > maxRecordBytes };
}

/** Sends to partitions, each by itself. */
export class Publishing implements PublishDriver<Publishable> {
  readonly #client: KafkaClient;
  readonly #topics: Topics;
  #spread = 0;
  #leftOfSpread = 0;
  #isSameTurn = false;

  constructor(client: KafkaClient, topics: Topics) {
    this.#client = client;
    this.#topics = topics;
  }

  readonly lanes = {
    isKnown: ({ name }: Destination): boolean => this.#topics.partitionsOf(name) !== undefined,
    find: async (destination: Destination): Promise<void> => {
      if ((await this.#topics.find(destination.name)) === undefined) throw missing(destination);
    },
    laneOf: ({ name }: Destination, item: Publishable): number => {
      const partitions = this.#topics.partitionsOf(name) ?? 1;
      const key = item instanceof MessageItem ? keyBytes(item.message) : item.record.key;
      return key === null ? item.spread % partitions : partitionOfKey(key, partitions);
    },
  };

  encode(message: Message): Publishable {
    const contentBytes = Buffer.byteLength(message.content ?? '');
    if (contentBytes > maxMessageBytes)
      throw new MessageTooLargeError(
        `The content has ${contentBytes} bytes; Kafka takes ${maxMessageBytes}.`,
      );
    const taken = snapshotOf(message);
    const bytes = recordSize(taken);
    if (bytes > maxRecordBytes)
      throw new MessageTooLargeError(`The message has ${bytes} bytes; Kafka takes ${maxRecordBytes}.`);
    return new MessageItem(taken, bytes, this.#spreadOfTurn());
  }

  bytesOf({ bytes }: Publishable): number {
    return bytes;
  }

  limitsOf(): typeof limits {
    return limits;
  }

  async send(destination: Destination, batch: readonly Outgoing<Publishable>[]): Promise<BatchAnswer> {
    const items = batch.map(({ encoded }) => encoded);
    try {
      await this.#send(destination, items);
      return undefined;
    } catch (error) {
      if (!isRefusal(error)) throw error;
      // Each by itself, to see which one it is.
      if (items.length === 1) return [refusal(destination, items[0] as Publishable, error)];
      return this.#sendOneByOne(destination, items);
    }
  }

  async #send(destination: Destination, items: readonly Publishable[]): Promise<void> {
    const { name: topic, lane: partition = 0 } = destination;
    const isCompressed = items[0]?.isCompressed === true;
    try {
      await this.#client.send({ topic, partition, items, isCompressed });
    } catch (error) {
      if (typeOf(error) !== 'UNKNOWN_TOPIC_OR_PARTITION') throw error;
      // A broker that hears of a new topic late answers the same.
      if ((await this.#topics.find(topic)) === undefined) throw missing(destination);
      throw error;
    }
  }

  async #sendOneByOne(destination: Destination, items: readonly Publishable[]): Promise<unknown[]> {
    const answer: unknown[] = [];
    for (const item of items) {
      try {
        await this.#send(destination, [item]);
        answer.push(undefined);
      } catch (error) {
        answer.push(isRefusal(error) ? refusal(destination, item, error) : error);
      }
    }
    return answer;
  }

  /** Messages of one turn stay together, in their order. */
  #spreadOfTurn(): number {
    if (!this.#isSameTurn) {
      this.#isSameTurn = true;
      this.#leftOfSpread = 0;
      queueMicrotask(() => {
        this.#isSameTurn = false;
      });
    }
    if (this.#leftOfSpread === 0) {
      this.#spread += 1;
      this.#leftOfSpread = messagesPerSpread;
    }
    this.#leftOfSpread -= 1;
    return this.#spread;
  }
}

function keyBytes({ key }: Message): Buffer | null {
  return key === undefined ? null : Buffer.from(key);
}

function missing({ kind, name }: Destination): MelangeError {
  return kind === 'queue' ? new QueueNotFoundError(name) : new TopicNotFoundError(name);
}

/** A topic may take less than the brokers' default. */
function refusal({ name }: Destination, { bytes }: Publishable, error: unknown): MelangeError {
  if (MelangeError.is(error, 'CONFIGURATION')) return error;
  const type = typeOf(error) ?? '';
  return type.endsWith('TOO_LARGE')
    ? new MessageTooLargeError(
        `The message has ${bytes} bytes; topic "${name}" takes less: see its max.message.bytes.`,
        { cause: error },
      )
    : new MelangeError('MESSAGE_INVALID', `Kafka refuses the message for topic "${name}": ${type}.`, {
        cause: error,
      });
}
