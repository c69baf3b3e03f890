import { MelangeError } from '@melange/core';

/** An event of a Kafka event source, of MSK or a cluster of your own, as far as it is looked at. */
export interface KafkaEvent {
  /** The records, by topic and partition (`orders-0`), each in the order of its offsets. */
  readonly records: Readonly<Record<string, readonly KafkaEventRecord[]>>;
}

/** A record as Lambda hands it over. */
export interface KafkaEventRecord {
  /** Topic that it came from. */
  readonly topic: string;
  /** Partition of the topic. */
  readonly partition: number;
  /** Place in the partition. */
  readonly offset: number;
  /** In ms since the epoch. */
  readonly timestamp?: number;
  /** Bytes as base64; none where the record has no key. */
  readonly key?: string | null;
  /** Bytes as base64; none for a tombstone. */
  readonly value?: string | null;
  /** Each header as its name and bytes, which may be written signed. */
  readonly headers?: readonly Readonly<Record<string, readonly number[] | null>>[];
}

/** The response to Lambda: of each partition the offset from which it comes again. */
export interface KafkaBatchResponse {
  /** None when all are done. */
  readonly batchItemFailures: { readonly itemIdentifier: KafkaItemIdentifier }[];
}

/** A place in a partition. */
export interface KafkaItemIdentifier {
  /** Topic and partition, as the event names them: `orders-0`. */
  readonly partition: string;
  /** Offset of the first record that is to come again. */
  readonly offset: number;
}

/** A record, and the partition that the event has it under. */
export interface Placed {
  readonly place: string;
  readonly record: KafkaEventRecord;
}

/** @throws MelangeError `CONFIGURATION` when it is no event of Kafka. */
export function recordsOf(event: KafkaEvent, queue: string): readonly Placed[] {
  const records: KafkaEvent['records'] | undefined = event?.records;
  if (typeof records !== 'object' || records === null)
    throw new MelangeError(
      'CONFIGURATION',
      `"${queue}": the event is none of Kafka. Use \`lambdaHandler\` for SQS.`,
    );
  return Object.entries(records).flatMap(([place, ofPlace]) => ofPlace.map((record) => ({ place, record })));
}

/** The bytes that base64 stands for; `null` where there is none. */
export function bytesOf(base64: string | null | undefined): Buffer | null {
  return typeof base64 === 'string' ? Buffer.from(base64, 'base64') : null;
}

/** Headers by name, as Kafka has them: a name may be there more than once. */
export function headersOf({ headers = [] }: KafkaEventRecord): Record<string, (Buffer | null)[]> {
  const byName: Record<string, (Buffer | null)[]> = Object.create(null);
  for (const header of headers) {
    for (const [name, bytes] of Object.entries(header)) {
      byName[name] ??= [];
      byName[name].push(bytes === null ? null : Buffer.from(bytes));
    }
  }
  return byName;
}

/** Of each partition the earliest: Lambda goes on from there. */
export function earliestOf(places: readonly KafkaItemIdentifier[]): readonly KafkaItemIdentifier[] {
  const earliest = new Map<string, KafkaItemIdentifier>();
  for (const one of places) {
    const known = earliest.get(one.partition);
    if (known === undefined || one.offset < known.offset) earliest.set(one.partition, one);
  }
  return [...earliest.values()];
}
