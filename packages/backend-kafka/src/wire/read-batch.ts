import { ByteReader } from './byte-reader.ts';
import { type FetchedBytes, FetchedRecord } from './fetched-record.ts';

/** What was fetched of a partition. */
export interface FetchedRecords {
  readonly records: readonly FetchedRecord[];
  /** The last offset that is accounted for, which may be that of a marker, or of a record that is gone; `undefined` when nothing was there. */
  readonly lastOffset: number | undefined;
}

/** A transaction that was aborted: the producer's records from an offset on, up to the marker of its end. */
export interface AbortedTransaction {
  readonly producerId: number;
  readonly firstOffset: number;
}

/** Uncompresses with a codec by Kafka's number of it. */
export type Decompress = (codec: number, compressed: Buffer) => Promise<Buffer>;

const magicAt = 16;
const headerBytes = 61;
const format = 2;
const codecMask = 0x07;
const appendTime = 0x08;
const transactional = 0x10;
const control = 0x20;
const abortMarker = 0;

/**
 * The records in Kafka's record batches, which is the format of Kafka 0.11 and since. What is cut off at the end is left
 * to the next fetch; what was aborted is left out.
 *
 * @param aborted by `firstOffset` ascending.
 * @throws RangeError when the bytes are no batch.
 */
export async function readRecordBatches(
  { topic, partition, bytes }: FetchedBytes,
  aborted: readonly AbortedTransaction[],
  decompress: Decompress,
): Promise<FetchedRecords | 'older-format'> {
  const records: FetchedRecord[] = [];
  const abortedProducers = new Set<number>();
  let abortedSeen = 0;
  let lastOffset: number | undefined;
  for (let at = 0; at + magicAt < bytes.length; ) {
    const reader = new ByteReader(bytes, at);
    const baseOffset = reader.int64();
    const end = reader.int32() + reader.at;
    // It would be read again and again.
    if (end <= reader.at) throw new RangeError('A batch ends before it begins.');
    if (end > bytes.length) break;
    if (bytes[at + magicAt] !== format) return 'older-format';
    reader.at = at + magicAt + 5;
    const attributes = reader.int16();
    lastOffset = baseOffset + reader.int32();
    const firstTimestamp = reader.int64();
    const maxTimestamp = reader.int64();
    const appendedAt = (attributes & appendTime) === 0 ? undefined : maxTimestamp;
    const producerId = reader.int64();
    reader.at = at + headerBytes - 4;
    const count = reader.int32();
    for (; abortedSeen < aborted.length; abortedSeen += 1) {
      const { firstOffset, producerId: aborting } = aborted[abortedSeen] as AbortedTransaction;
      if (firstOffset > lastOffset) break;
      abortedProducers.add(aborting);
    }
    const isControl = (attributes & control) !== 0;
    const isDropped = (attributes & transactional) !== 0 && abortedProducers.has(producerId);
    if (isControl) {
      if (count > 0 && isAbort(reader)) abortedProducers.delete(producerId);
    } else if (!isDropped) {
      const codec = attributes & codecMask;
      const times = { firstTimestamp, appendedAt };
      if (codec === 0) {
        const fetched = { topic, partition, bytes, ...times };
        readRecords(fetched, reader, end, baseOffset, count, records);
      } else {
        const uncompressed = await decompress(codec, bytes.subarray(reader.at, end));
        const fetched = { topic, partition, bytes: uncompressed, ...times };
        readRecords(fetched, new ByteReader(uncompressed), uncompressed.length, baseOffset, count, records);
      }
    }
    at = end;
  }
  return { records, lastOffset };
}

function readRecords(
  fetched: FetchedBytes,
  reader: ByteReader,
  end: number,
  baseOffset: number,
  count: number,
  records: FetchedRecord[],
): void {
  for (let left = count; left > 0; left -= 1) {
    const length = reader.varint();
    const next = reader.at + length;
    if (!(length > 0 && next <= end)) throw new RangeError('A record does not end in its batch.');
    // Attributes, of which there are none yet, and the time.
    const start = reader.at + 1;
    reader.at = start;
    reader.skipVarint();
    const offset = baseOffset + reader.varint();
    records.push(new FetchedRecord(fetched, offset, start, reader.at, next));
    reader.at = next;
  }
}

/** The marker's key is its version and its type. */
function isAbort(reader: ByteReader): boolean {
  reader.varint();
  reader.at += 1;
  reader.skipVarint();
  reader.varint();
  reader.varint();
  return reader.bytes.readInt16BE(reader.at + 2) === abortMarker;
}
