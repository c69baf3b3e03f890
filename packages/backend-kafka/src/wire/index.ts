import type { Message } from '@melange/core';
import { keyOf, Reading } from './message.ts';

/** A record of Kafka, whoever fetched it. */
export interface KafkaRecord {
  /** Topic that it came from. */
  readonly topic: string;
  /** Partition of the topic. */
  readonly partition: number;
  /** Place in the partition. */
  readonly offset: number;
  /** In ms since the epoch; `undefined` where it has none. */
  readonly timestamp?: number | undefined;
  /** `null` where it has no key. */
  readonly key: Buffer | null;
  /** `null` for a tombstone. */
  readonly value: Buffer | null;
  /** By name; several of one name as a list. */
  readonly headers: Readonly<Record<string, Buffer | (Buffer | null)[] | null>>;
}

/** A record as Melange reads it. */
export interface ReadRecord {
  /** The message as it was published. */
  readonly message: Message;
  /** As `Delivery.attempt`, by the headers of the record. */
  readonly attempt: number;
  /** As `Delivery.redeliveries`, by the headers of the record. */
  readonly redeliveries: number;
}

/** Reads a record as `KafkaBackend` does. Never throws: what another client sent is taken as it is. */
export function readRecord(record: KafkaRecord): ReadRecord {
  const incoming = { ...record, size: 0 };
  const reading = new Reading(incoming);
  const { attempt, redeliveries } = reading;
  return { message: reading.message(keyOf(incoming)), attempt, redeliveries };
}
