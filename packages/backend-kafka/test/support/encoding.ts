import { createRequire } from 'node:module';

/** kafkajs's own encoding, of which it publishes no types: it says what is read. */
const load = createRequire(import.meta.url);

export interface Encoder {
  readonly buffer: Buffer;
  writeInt16(value: number): Encoder;
  writeInt32(value: number): Encoder;
  writeInt64(value: number): Encoder;
  writeString(value: string): Encoder;
  writeBytes(value: Buffer): Encoder;
}

export interface EncodableRecord {
  readonly offsetDelta?: number;
  readonly timestampDelta?: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers?: Readonly<Record<string, Buffer | Buffer[]>>;
}

interface EncodableBatch {
  readonly firstOffset?: number;
  readonly lastOffsetDelta?: number;
  readonly compression?: number;
  readonly transactional?: boolean;
  readonly producerId?: number;
  readonly records: readonly EncodableRecord[];
}

export const newEncoder: () => Encoder = (() => {
  const Made = load('kafkajs/src/protocol/encoder') as new () => Encoder;
  return () => new Made();
})();

const encodeRecord = load('kafkajs/src/protocol/recordBatch/record/v0') as (
  record: EncodableRecord,
) => Encoder;
const { RecordBatch: encodeBatch } = load('kafkajs/src/protocol/recordBatch/v0') as {
  RecordBatch(batch: object): Promise<Encoder>;
};
const MessageSet = load('kafkajs/src/protocol/messageSet') as (set: object) => Encoder;

/** As a broker keeps it. */
export async function batchOf({ records, ...batch }: EncodableBatch): Promise<Buffer> {
  const { length } = records;
  const encoded = await encodeBatch({
    lastOffsetDelta: Math.max(0, length - 1),
    ...batch,
    records: records.map((record, index) => encodeRecord({ offsetDelta: index, ...record })),
  });
  return encoded.buffer;
}

/** The end of a transaction. */
export async function markerOf(offset: number, producerId: number, isAbort: boolean): Promise<Buffer> {
  const key = Buffer.from([0, 0, 0, isAbort ? 0 : 1]);
  const marker = { key, value: Buffer.alloc(6) };
  const bytes = await batchOf({ firstOffset: offset, transactional: true, producerId, records: [marker] });
  bytes[22] = (bytes[22] as number) | 0x20;
  return bytes;
}

/** In the format before record batches. */
export function olderFormat(value: string): Buffer {
  const entries = [{ key: Buffer.from('old'), value: Buffer.from(value) }];
  return MessageSet({ messageVersion: 1, entries }).buffer;
}

/** What kafkajs makes of the answer to a fetch. */
export function decodeByKafkajs(version: number, payload: Buffer): Promise<unknown> {
  const { decode } = load(`kafkajs/src/protocol/requests/fetch/v${version}/response`) as {
    decode(payload: Buffer): Promise<unknown>;
  };
  return decode(payload);
}

/** A request as kafkajs writes it. */
export async function encodeByKafkajs(name: string, version: number, options: object): Promise<Buffer> {
  const request = load(`kafkajs/src/protocol/requests/${name}/v${version}/request`) as (options: object) => {
    encode(): Promise<{ readonly buffer: Buffer }>;
  };
  return (await request(options).encode()).buffer;
}
