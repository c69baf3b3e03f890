import { ByteReader } from '../wire/byte-reader.ts';
import { ByteWriter } from '../wire/byte-writer.ts';
import { errorName } from './error-names.ts';

/** The batch of one partition in a request. */
export interface PartitionBatch {
  readonly topic: string;
  readonly partition: number;
  readonly bytes: Buffer;
}

const acksOfAll = -1;
const fixedBytes = 12;
const bytesOfPartition = 8;
/** Offset, time and start of the log, behind the error of a partition. */
const bytesOfResult = 24;

/** Body of a produce request of the version 7. @param timeoutMs how long in-sync replicas may take. */
export function writeProduceRequest(batches: readonly PartitionBatch[], timeoutMs: number): Buffer {
  const topics = new Map<string, PartitionBatch[]>();
  let size = fixedBytes;
  for (const batch of batches) {
    const { topic, bytes } = batch;
    const known = topics.get(topic);
    if (known === undefined) {
      topics.set(topic, [batch]);
      size += 6 + Buffer.byteLength(topic);
    } else known.push(batch);
    size += bytesOfPartition + bytes.length;
  }
  const writer = new ByteWriter(Buffer.allocUnsafe(size));
  // No transaction.
  writer.int16(-1);
  writer.int16(acksOfAll);
  writer.int32(timeoutMs);
  writer.int32(topics.size);
  for (const [topic, ofTopic] of topics) {
    writer.text(topic);
    writer.int32(ofTopic.length);
    for (const { partition, bytes } of ofTopic) {
      writer.int32(partition);
      writer.int32(bytes.length);
      writer.raw(bytes);
    }
  }
  return writer.bytes;
}

/** What a broker answered, by topic and partition: `undefined` where it took the batch, else the name of the error. */
export function readProduceResponse(payload: Buffer): ReadonlyMap<string, string | undefined> {
  const reader = new ByteReader(payload);
  const results = new Map<string, string | undefined>();
  for (let topics = reader.int32(); topics > 0; topics -= 1) {
    const topic = reader.text();
    for (let count = reader.int32(); count > 0; count -= 1) {
      const partition = reader.int32();
      const code = reader.int16();
      reader.at += bytesOfResult;
      results.set(`${topic}/${partition}`, errorName(code));
    }
  }
  return results;
}
