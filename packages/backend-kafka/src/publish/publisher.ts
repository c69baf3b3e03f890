import type { Troubles } from '@melange/backend-kit';
import { type Message, MessageTooLargeError } from '@melange/core';
import { type KafkaClient, typeOf } from '../client/index.ts';
import { type OutgoingRecord, recordSize, sizeOf, toRecord } from '../wire/message.ts';
import { Destination } from './destination.ts';
import type { Outgoing } from './pending.ts';

/**
 * `bounded`: refused beyond what Kafka takes by default. Copies of records that other clients made are not, for such a
 * record is in Kafka already: `compressed` where they are large, and at last `as it came`.
 */
export type RecordSize = 'bounded' | 'compressed' | 'as it came';

type OnSettled = Outgoing['onSettled'];
type Until = Pick<Outgoing, 'endsAt' | 'timeoutMs'>;
type GivenRecord = Omit<Outgoing, 'isAlone' | 'isCompressed'>;

/** Largest record with its key and headers. */
export const largestRecord = 1_020_000;

/** Publishes records, each topic by itself: deadlines, tries and troubles of one are nothing to another. */
export class KafkaPublisher {
  readonly #client: KafkaClient;
  readonly #troubles: Troubles;
  readonly #destinations = new Map<string, Destination>();
  #spread = 0;

  constructor(client: KafkaClient, troubles: Troubles) {
    this.#client = client;
    this.#troubles = troubles;
  }

  /** For records without a key: those of one number go to one partition, in their order. */
  nextSpread(): number {
    this.#spread += 1;
    return this.#spread;
  }

  /** Resolves when all replicas have the record. A deadline that passes does not take it back. */
  publish(
    topic: string,
    record: OutgoingRecord,
    timeoutMs: number,
    spread: number,
    size: RecordSize = 'bounded',
  ): Promise<void> {
    const bytes = sizeOf(record);
    const until = { endsAt: performance.now() + timeoutMs, timeoutMs };
    return new Promise((resolve, reject) => {
      const onSettled = (error: unknown): void => (error === undefined ? resolve() : reject(error));
      this.#add(topic, { record: () => record, bytes, spread, ...until, onSettled }, size);
    });
  }

  /** As `publish`, of a message that nobody changes any more. */
  send(topic: string, message: Message, spread: number, until: Until, onSettled: OnSettled): void {
    const bytes = recordSize(message);
    this.#add(topic, { record: () => toRecord(message), bytes, spread, ...until, onSettled }, 'bounded');
  }

  #add(topic: string, given: GivenRecord, size: RecordSize): void {
    const { bytes, onSettled } = given;
    const isLarge = bytes > largestRecord;
    if (isLarge && size === 'bounded') {
      onSettled(new MessageTooLargeError(`The message has ${bytes} bytes; Kafka takes ${largestRecord}.`));
      return;
    }
    const destination = this.#to(topic);
    destination.add({
      ...given,
      isAlone: isLarge,
      isCompressed: isLarge && size === 'compressed',
      onSettled(error) {
        onSettled(error === undefined ? undefined : refusal(topic, bytes, error));
        destination.settled();
      },
    });
  }

  /** Waits for what was published, up to its deadlines. */
  async close(): Promise<void> {
    await Promise.all([...this.#destinations.values()].map((destination) => destination.close()));
    this.#destinations.clear();
  }

  #to(topic: string): Destination {
    let destination = this.#destinations.get(topic);
    if (destination === undefined) {
      destination = new Destination(topic, {
        client: this.#client,
        troubles: this.#troubles,
        onUnused: (unused) => {
          if (this.#destinations.get(topic) === unused) this.#destinations.delete(topic);
        },
      });
      this.#destinations.set(topic, destination);
    }
    return destination;
  }
}

/** A topic may take less than the brokers' default. */
function refusal(topic: string, bytes: number, error: unknown): unknown {
  if (!/TOO_LARGE$/.test(typeOf(error) ?? '')) return error;
  return new MessageTooLargeError(
    `The message has ${bytes} bytes; topic "${topic}" takes less: see its max.message.bytes.`,
    { cause: error },
  );
}
