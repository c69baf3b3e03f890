import { ByteReader } from '../../wire/byte-reader.ts';
import type { FetchedRecord } from '../../wire/fetched-record.ts';
import { type AbortedTransaction, readRecordBatches } from '../../wire/read-batch.ts';
import { decompress } from '../decompress.ts';

/** Makes the one message of kafkajs that stands for the records of a partition. */
type AsMessage = (records: readonly FetchedRecord[], lastOffset: number) => object;

/** Reads the answer to a fetch of the versions 4 to 11. As kafkajs has it, with one message for each partition; `undefined` when there is a format among it that is left to kafkajs. */
export async function decodeFetch(
  payload: Buffer,
  version: number,
  asMessage: AsMessage,
): Promise<object | undefined> {
  const reader = new ByteReader(payload);
  const throttleTime = reader.int32();
  // Error and session of the whole, which kafkajs has none of.
  if (version >= 7) reader.at += 6;
  const responses: object[] = [];
  for (let topics = reader.int32(); topics > 0; topics -= 1) {
    const nameLength = reader.int16();
    const topicName = payload.toString('utf8', reader.at, reader.at + nameLength);
    reader.at += nameLength;
    const partitions: object[] = [];
    for (let count = reader.int32(); count > 0; count -= 1) {
      const partition = await decodePartition(reader, topicName, version, asMessage);
      if (partition === undefined) return undefined;
      partitions.push(partition);
    }
    responses.push({ topicName, partitions });
  }
  // From version 8 on the broker leaves it to its clients to wait.
  return version < 8 ? { throttleTime, responses } : { clientSideThrottleTime: throttleTime, responses };
}

async function decodePartition(
  reader: ByteReader,
  topic: string,
  version: number,
  asMessage: AsMessage,
): Promise<object | undefined> {
  const partition = reader.int32();
  const errorCode = reader.int16();
  const highWatermark = String(reader.int64());
  reader.at += version >= 5 ? 16 : 8;
  const aborted: AbortedTransaction[] = [];
  for (let count = reader.int32(); count > 0; count -= 1)
    aborted.push({ producerId: reader.int64(), firstOffset: reader.int64() });
  const replica = version >= 11 ? { preferredReadReplica: reader.int32() } : {};
  const length = Math.max(0, reader.int32());
  const bytes = reader.bytes.subarray(reader.at, reader.at + length);
  reader.at += length;
  aborted.sort((left, right) => left.firstOffset - right.firstOffset);
  const read = await readRecordBatches({ topic, partition, bytes }, aborted, decompress);
  if (read === 'older-format') return undefined;
  const { records, lastOffset } = read;
  const messages = lastOffset === undefined ? [] : [asMessage(records, lastOffset)];
  return { partition, errorCode, highWatermark, ...replica, abortedTransactions: [], messages };
}
