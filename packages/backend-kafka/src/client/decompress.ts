/// <reference path="./codec-modules.d.ts" />
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { Decompress as ZstandardStream } from 'fzstd';
import lz4 from 'lz4js';
import snappy from 'snappyjs';

/** Snappy as Java writes it begins so: its blocks have their lengths in front. */
const framed = Buffer.from([0x82, ...Buffer.from('SNAPPY'), 0]);
const bytesBeforeBlocks = 16;
const bytesOfPiece = 16_384;

/**
 * Longest batch that is decompressed. Brokers take 1 MiB of compressed bytes by default: what decompresses to more than 128 times as much is
 * made to fill the memory.
 */
export const maxBatchBytes = 134_217_728;

type Decode = (compressed: Buffer, maxBytes: number) => Uint8Array | Promise<Uint8Array>;

const unzip = promisify<Buffer, { readonly maxOutputLength: number }, Buffer>(gunzip);

const decoders: Readonly<Record<number, Decode>> = {
  1: (compressed, maxBytes) => unzip(compressed, { maxOutputLength: maxBytes }),
  2: uncompressSnappy,
  3: (compressed, maxBytes) => {
    // It would make room for all of it at once.
    if (lz4.decompressBound(compressed) > maxBytes) throw tooLarge(maxBytes);
    return lz4.decompress(compressed);
  },
  4: decompressZstandard,
};

/**
 * Decompresses the records of a batch, whichever client compressed them.
 *
 * @param codec Kafka's number of it.
 * @param maxBytes bound of the result. Default: 128 MiB.
 * @throws RangeError for a codec that Kafka does not have, and beyond the bound.
 */
export async function decompress(
  codec: number,
  compressed: Buffer,
  maxBytes: number = maxBatchBytes,
): Promise<Buffer> {
  const decode = decoders[codec];
  if (decode === undefined) throw new RangeError(`Kafka has no codec ${codec} that is known here.`);
  const { buffer, byteOffset, byteLength } = await decode(compressed, maxBytes);
  return Buffer.from(buffer, byteOffset, byteLength);
}

function decompressZstandard(compressed: Buffer, maxBytes: number): Uint8Array {
  const chunks: Uint8Array[] = [];
  let size = 0;
  const stream = new ZstandardStream((chunk) => {
    size += chunk.length;
    if (size > maxBytes) throw tooLarge(maxBytes);
    chunks.push(chunk);
  });
  // Piece by piece, so that no more is made of it than fits.
  for (let at = 0; at < compressed.length; at += bytesOfPiece)
    stream.push(compressed.subarray(at, at + bytesOfPiece), at + bytesOfPiece >= compressed.length);
  return Buffer.concat(chunks);
}

function uncompressSnappy(compressed: Buffer, maxBytes: number): Uint8Array {
  if (!compressed.subarray(0, framed.length).equals(framed)) return snappy.uncompress(compressed, maxBytes);
  const blocks: Uint8Array[] = [];
  let left = maxBytes;
  for (let at = bytesBeforeBlocks; at < compressed.length; ) {
    const start = at + 4;
    at = start + compressed.readUInt32BE(at);
    const block = snappy.uncompress(compressed.subarray(start, at), left);
    left -= block.length;
    blocks.push(block);
  }
  return Buffer.concat(blocks);
}

function tooLarge(maxBytes: number): RangeError {
  return new RangeError(`A compressed batch of records has more than ${maxBytes} bytes.`);
}
