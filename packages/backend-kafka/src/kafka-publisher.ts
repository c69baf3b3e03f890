import type { Troubles } from '@melange/backend-kit';
import { MelangeError, MessageTooLargeError } from '@melange/core';
import { Destination, type Pending } from './destination.ts';
import { type KafkaClient, typeOf } from './kafka-client/index.ts';
import type { OutgoingRecord } from './kafka-message-mapper.ts';

/**
 * `bounded`: refused beyond what Kafka takes by default. Copies of records that other clients made are not, for such a
 * record is in Kafka already: `compressed` where they are large, and at last `as it came`.
 */
export type RecordSize = 'bounded' | 'compressed' | 'as it came';

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
    const isLarge = bytes > largestRecord;
    if (isLarge && size === 'bounded') {
      return Promise.reject(
        new MessageTooLargeError(`The message has ${bytes} bytes; Kafka takes ${largestRecord}.`),
      );
    }
    const destination = this.#to(topic);
    return new Promise<void>((resolve, reject) => {
      const settle = (outcome: () => void): void => {
        if (pending.isSettled) return;
        pending.isSettled = true;
        clearTimeout(timer);
        outcome();
        destination.settled();
      };
      const pending: Pending = {
        record,
        spread,
        partition: undefined,
        bytes,
        resolve: () => settle(resolve),
        reject: (error) => settle(() => reject(refusal(topic, bytes, error))),
        isSettled: false,
        isAlone: isLarge,
        isCompressed: isLarge && size === 'compressed',
      };
      const timer = setTimeout(() => {
        pending.reject(
          new MelangeError('PUBLISH_TIMEOUT', `Topic "${topic}" did not confirm within ${timeoutMs} ms.`),
        );
      }, timeoutMs);
      destination.add(pending);
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

function sizeOf({ key, value, headers }: OutgoingRecord): number {
  let bytes = (key?.length ?? 0) + (value?.length ?? 0) + 64;
  for (const [name, header] of Object.entries(headers)) {
    bytes += Buffer.byteLength(name) + 8;
    for (const one of Array.isArray(header) ? header : [header]) bytes += (one?.length ?? 0) + 8;
  }
  return bytes;
}
