import { ByteReader } from '../../wire/byte-reader.ts';
import { ByteWriter } from '../../wire/byte-writer.ts';

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

/** Names of the answers that a broker gives for a partition. */
const errors: Readonly<Record<number, string>> = {
  [-1]: 'UNKNOWN_SERVER_ERROR',
  2: 'CORRUPT_MESSAGE',
  3: 'UNKNOWN_TOPIC_OR_PARTITION',
  5: 'LEADER_NOT_AVAILABLE',
  6: 'NOT_LEADER_FOR_PARTITION',
  7: 'REQUEST_TIMED_OUT',
  10: 'MESSAGE_TOO_LARGE',
  17: 'INVALID_TOPIC_EXCEPTION',
  18: 'RECORD_LIST_TOO_LARGE',
  19: 'NOT_ENOUGH_REPLICAS',
  20: 'NOT_ENOUGH_REPLICAS_AFTER_APPEND',
  29: 'TOPIC_AUTHORIZATION_FAILED',
  31: 'CLUSTER_AUTHORIZATION_FAILED',
  32: 'INVALID_TIMESTAMP',
  44: 'POLICY_VIOLATION',
  45: 'OUT_OF_ORDER_SEQUENCE_NUMBER',
  46: 'DUPLICATE_SEQUENCE_NUMBER',
  47: 'INVALID_PRODUCER_EPOCH',
  56: 'KAFKA_STORAGE_ERROR',
  59: 'UNKNOWN_PRODUCER_ID',
  87: 'INVALID_RECORD',
  90: 'PRODUCER_FENCED',
};

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
    writer.int16(Buffer.byteLength(topic));
    writer.at += writer.bytes.write(topic, writer.at);
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
    const length = reader.int16();
    const topic = payload.toString('utf8', reader.at, reader.at + length);
    reader.at += length;
    for (let count = reader.int32(); count > 0; count -= 1) {
      const partition = reader.int32();
      const code = reader.int16();
      reader.at += bytesOfResult;
      results.set(`${topic}/${partition}`, code === 0 ? undefined : (errors[code] ?? `ERROR_${code}`));
    }
  }
  return results;
}
