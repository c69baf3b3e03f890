/// <reference path="./codec-modules.d.ts" />
import { MelangeError } from '@melange/core';
import { decompress as decompressZstandard } from 'fzstd';
import kafkajs from 'kafkajs';
import lz4 from 'lz4js';
import snappy from 'snappyjs';

/** As kafkajs takes them. */
interface Codec {
  compress(encoder: { readonly buffer: Buffer }): Promise<Buffer>;
  decompress(compressed: Buffer): Promise<Buffer>;
}

/** With it begins what Java's Snappy library made: its blocks have their lengths in front. */
const framed = Buffer.from([0x82, ...Buffer.from('SNAPPY'), 0]);
const bytesBeforeBlocks = 16;

/**
 * Teaches kafkajs to read what other clients compressed with Snappy, LZ4 or Zstandard: of itself it knows gzip only,
 * and one such batch would keep a queue from being read for ever. Codecs that the application gave to kafkajs stay.
 */
export function readEveryCompression(): void {
  const { CompressionTypes, CompressionCodecs } = kafkajs;
  const codecs = CompressionCodecs as unknown as Record<number, () => Codec>;
  const add = (type: number, decompress: (compressed: Buffer) => Uint8Array): void => {
    if (!isMissing(codecs[type])) return;
    codecs[type] = () => ({
      compress: async () => {
        throw new MelangeError('UNSUPPORTED', 'Give kafkajs a codec of your own to compress with this one.');
      },
      decompress: async (compressed) => asBuffer(decompress(compressed)),
    });
  };
  add(CompressionTypes.Snappy, uncompressSnappy);
  add(CompressionTypes.LZ4, (compressed) => lz4.decompress(compressed));
  add(CompressionTypes.ZSTD, (compressed) => decompressZstandard(compressed));
}

/** In place of a codec kafkajs has a function that throws. */
function isMissing(codec: (() => Codec) | undefined): boolean {
  try {
    return codec?.() === undefined;
  } catch {
    return true;
  }
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

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
