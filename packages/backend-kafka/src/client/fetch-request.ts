import { ByteReader } from '../wire/byte-reader.ts';
import { ByteWriter } from '../wire/byte-writer.ts';
import { type AbortedTransaction, readRecordBatches } from '../wire/read-batch.ts';
import type { FetchedPartition, FetchRequest } from './contract.ts';
import { decompress } from './decompress.ts';
import { errorName } from './error-names.ts';

/** The version that fetch requests and their answers are of: of Kafka 2.3 and since. */
export const fetchVersion = 11;

const bytesOfRequest = 35;
const bytesOfPartition = 28;
const readCommitted = 1;
/** Each request says all that it asks for. */
const noSession = { id: 0, epoch: -1 };

/** Body of a fetch request of `fetchVersion`. */
export function writeFetchRequest({ partitions, maxWaitMs, maxBytes }: FetchRequest): Buffer {
  const topics = new Map<string, FetchRequest['partitions'][number][]>();
  let size = bytesOfRequest;
  for (const partition of partitions) {
    const known = topics.get(partition.topic);
    if (known === undefined) {
      topics.set(partition.topic, [partition]);
      size += 6 + Buffer.byteLength(partition.topic);
    } else known.push(partition);
    size += bytesOfPartition;
  }
  const writer = new ByteWriter(Buffer.alloc(size));
  // No replica.
  writer.int32(-1);
  writer.int32(maxWaitMs);
  writer.int32(maxWaitMs > 0 ? 1 : 0);
  writer.int32(maxBytes);
  writer.int8(readCommitted);
  writer.int32(noSession.id);
  writer.int32(noSession.epoch);
  writer.int32(topics.size);
  for (const [topic, ofTopic] of topics) {
    writer.text(topic);
    writer.int32(ofTopic.length);
    for (const { partition, offset, maxBytes: maxOfPartition } of ofTopic) {
      writer.int32(partition);
      // Any epoch of the leader.
      writer.int32(-1);
      writer.int64(BigInt(offset));
      writer.int64(-1n);
      writer.int32(maxOfPartition);
    }
  }
  // Nothing is forgotten, and there is no rack.
  writer.int32(0);
  writer.int16(0);
  return writer.bytes;
}

/** Reads the body of an answer of `fetchVersion`; `undefined` where a format of records older than Kafka 0.11 is in it. */
export async function readFetchResponse(payload: Buffer): Promise<readonly FetchedPartition[] | undefined> {
  const reader = new ByteReader(payload);
  // The time that the broker throttles for.
  reader.at += 4;
  const error = errorName(reader.int16());
  if (error !== undefined) throw Object.assign(new Error(error), { type: error });
  reader.at += 4;
  const answer: FetchedPartition[] = [];
  for (let topics = reader.int32(); topics > 0; topics -= 1) {
    const topic = reader.text();
    for (let count = reader.int32(); count > 0; count -= 1) {
      const partition = await readPartition(reader, topic);
      if (partition === undefined) return undefined;
      answer.push(partition);
    }
  }
  return answer;
}

async function readPartition(reader: ByteReader, topic: string): Promise<FetchedPartition | undefined> {
  const partition = reader.int32();
  const error = errorName(reader.int16());
  const highWatermark = reader.int64();
  // Last stable offset, and start of the log.
  reader.at += 16;
  const aborted: AbortedTransaction[] = [];
  for (let count = reader.int32(); count > 0; count -= 1)
    aborted.push({ producerId: reader.int64(), firstOffset: reader.int64() });
  // A replica that would be nearer.
  reader.at += 4;
  const length = Math.max(0, reader.int32());
  const bytes = reader.bytes.subarray(reader.at, reader.at + length);
  reader.at += length;
  aborted.sort((left, right) => left.firstOffset - right.firstOffset);
  const read = await readRecordBatches({ topic, partition, bytes }, aborted, decompress);
  return read === 'older-format' ? undefined : { topic, partition, error, highWatermark, ...read };
}
