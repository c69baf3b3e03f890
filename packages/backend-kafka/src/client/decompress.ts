/// <reference path="./codec-modules.d.ts" />
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { decompress as decompressZstandard } from 'fzstd';
import lz4 from 'lz4js';
import snappy from 'snappyjs';

/** Snappy as Java writes it begins so: its blocks have their lengths in front. */
const framed = Buffer.from([0x82, ...Buffer.from('SNAPPY'), 0]);
const bytesBeforeBlocks = 16;

const decoders: Readonly<Record<number, (compressed: Buffer) => Uint8Array | Promise<Uint8Array>>> = {
  1: promisify<Buffer, Buffer>(gunzip),
  2: uncompressSnappy,
  3: (compressed) => lz4.decompress(compressed),
  4: (compressed) => decompressZstandard(compressed),
};

/**
 * Decompresses the records of a batch, whichever client compressed them.
 *
 * @param codec Kafka's number of it.
 * @throws RangeError for a codec that Kafka does not have.
 */
export async function decompress(codec: number, compressed: Buffer): Promise<Buffer> {
  const decode = decoders[codec];
  if (decode === undefined) throw new RangeError(`Kafka has no codec ${codec} that is known here.`);
  const { buffer, byteOffset, byteLength } = await decode(compressed);
  return Buffer.from(buffer, byteOffset, byteLength);
}

function uncompressSnappy(compressed: Buffer): Uint8Array {
  if (!compressed.subarray(0, framed.length).equals(framed)) return snappy.uncompress(compressed);
  const blocks: Uint8Array[] = [];
  for (let at = bytesBeforeBlocks; at < compressed.length; ) {
    const start = at + 4;
    at = start + compressed.readUInt32BE(at);
    blocks.push(snappy.uncompress(compressed.subarray(start, at)));
  }
  return Buffer.concat(blocks);
}
