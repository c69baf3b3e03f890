import { ByteWriter, varintSize } from './byte-writer.ts';
import type { OutgoingRecord, RecordHeader } from './message.ts';

/** Who writes a batch, and its place among those that the producer writes to the partition. */
export interface BatchOrigin {
  /** As the cluster gave it. */
  readonly producerId: bigint;
  /** As the cluster gave it. */
  readonly epoch: number;
  /** Number of the first record. */
  readonly firstSequence: number;
}

const headerBytes = 61;
const crcAt = 17;
const attributesAt = 21;
const format = 2;
const gzipCodec = 1;

/**
 * Records as one batch in Kafka's format, which is that of Kafka 0.11 and since.
 *
 * @param timestamp of every record, in ms since the epoch.
 * @param gzip compresses the records. Default: they are not compressed.
 */
export function writeRecordBatch(
  records: readonly OutgoingRecord[],
  { producerId, epoch, firstSequence }: BatchOrigin,
  timestamp: number,
  gzip?: (bytes: Buffer) => Buffer,
): Buffer {
  const sizes = records.map(sizeOfBody);
  let total = headerBytes;
  for (const [place, size] of sizes.entries()) {
    const length = size + 2 + varintSize(place);
    total += varintSize(length) + length;
  }
  const writer = new ByteWriter(Buffer.allocUnsafe(total));
  writer.at = headerBytes;
  for (const [place, record] of records.entries()) {
    writer.varint((sizes[place] as number) + 2 + varintSize(place));
    writer.int8(0);
    // The time of the batch, and no more.
    writer.varint(0);
    writer.varint(place);
    writeBody(writer, record);
  }
  const bytes = gzip === undefined ? writer.bytes : compressed(writer.bytes, gzip);
  const header = new ByteWriter(bytes);
  header.int64(0n);
  header.int32(bytes.length - 12);
  header.int32(-1);
  header.int8(format);
  header.at = attributesAt;
  header.int16(gzip === undefined ? 0 : gzipCodec);
  header.int32(records.length - 1);
  header.int64(BigInt(timestamp));
  header.int64(BigInt(timestamp));
  header.int64(producerId);
  header.int16(epoch);
  header.int32(firstSequence);
  header.int32(records.length);
  bytes.writeUInt32BE(crc32c(bytes, attributesAt), crcAt);
  return bytes;
}

function compressed(bytes: Buffer, gzip: (bytes: Buffer) => Buffer): Buffer {
  return Buffer.concat([bytes.subarray(0, headerBytes), gzip(bytes.subarray(headerBytes))]);
}

function sizeOfBody({ key, value, headers }: OutgoingRecord): number {
  let count = 0;
  let size = sizeOfChunk(key?.length ?? -1) + sizeOfChunk(value?.length ?? -1);
  for (const name in headers)
    for (const one of valuesOf(headers[name] as RecordHeader)) {
      count += 1;
      size += sizeOfChunk(Buffer.byteLength(name)) + sizeOfChunk(one?.length ?? -1);
    }
  return size + varintSize(count);
}

function sizeOfChunk(length: number): number {
  return varintSize(length) + Math.max(0, length);
}

function writeBody(writer: ByteWriter, { key, value, headers }: OutgoingRecord): void {
  writer.chunk(key);
  writer.chunk(value);
  let count = 0;
  for (const name in headers) count += valuesOf(headers[name] as RecordHeader).length;
  writer.varint(count);
  for (const name in headers)
    for (const one of valuesOf(headers[name] as RecordHeader)) {
      writer.varint(Buffer.byteLength(name));
      writer.at += writer.bytes.write(name, writer.at);
      writer.chunk(one);
    }
}

function valuesOf(header: RecordHeader): readonly (Buffer | null)[] {
  return Array.isArray(header) ? header : [header];
}

const polynomial = 0x82f63b78;
const crcTable: Int32Array = Int32Array.from({ length: 256 }, (_, byte) => {
  let rest = byte;
  for (let bit = 0; bit < 8; bit += 1) rest = (rest >>> 1) ^ ((rest & 1) * polynomial);
  return rest;
});

/** CRC-32C of the bytes from `start` on. */
function crc32c(bytes: Buffer, start: number): number {
  let crc = -1;
  for (let at = start; at < bytes.length; at += 1)
    crc = (crcTable[(crc ^ (bytes[at] as number)) & 0xff] as number) ^ (crc >>> 8);
  return ~crc >>> 0;
}
