import { gzipSync } from 'node:zlib';
import lz4 from 'lz4js';
import snappy from 'snappyjs';
import { expect, test } from 'vitest';
import { decompress } from '../src/client/decompress.ts';

const content = Buffer.from('a record, a record, a record');

/** Both libraries compress, too, which their types here do not say. */
const compressing = (library: unknown) => library as { compress(bytes: Buffer): Uint8Array };

/** As Java writes Snappy: a header, then blocks with their lengths. */
function framed(...blocks: readonly Buffer[]): Buffer {
  const header = Buffer.concat([Buffer.from([0x82]), Buffer.from('SNAPPY'), Buffer.alloc(9)]);
  const parts = blocks.flatMap((block) => {
    const length = Buffer.alloc(4);
    const bytes = Buffer.from(compressing(snappy).compress(block));
    length.writeUInt32BE(bytes.length);
    return [length, bytes];
  });
  return Buffer.concat([header, ...parts]);
}

/** A frame of Zstandard with one block that is stored as it is. */
function stored(bytes: Buffer): Buffer {
  const block = (bytes.length << 3) | 1;
  return Buffer.concat([
    Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x20, bytes.length]),
    Buffer.from([block & 0xff, block >> 8, 0]),
    bytes,
  ]);
}

/** A frame of Zstandard with blocks of one byte repeated. */
function repeated(blocks: number, size: number): Buffer {
  const parts = Array.from({ length: blocks }, (_, n) => {
    const header = (size << 3) | 2 | (n === blocks - 1 ? 1 : 0);
    return Buffer.from([header & 0xff, (header >> 8) & 0xff, header >> 16, 7]);
  });
  // Its window is 128 KiB, and it does not say how long it is.
  return Buffer.concat([Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38]), ...parts]);
}

test.each([
  ['gzip', 1, gzipSync(content)],
  ['Snappy', 2, Buffer.from(compressing(snappy).compress(content))],
  ['Snappy in frames', 2, framed(content.subarray(0, 10), content.subarray(10))],
  ['LZ4', 3, Buffer.from(compressing(lz4).compress(content))],
  ['Zstandard', 4, stored(content)],
])('records that a client compressed by %s are read', async (_, codec, compressed) => {
  expect(String(await decompress(codec, compressed))).toBe(String(content));
});

const zeros = Buffer.alloc(9_000_000);

test.each([
  ['gzip', 1, gzipSync(zeros)],
  ['Snappy', 2, Buffer.from(compressing(snappy).compress(zeros))],
  ['Snappy in frames', 2, framed(...Array.from({ length: 9 }, () => zeros.subarray(0, 1_000_000)))],
  ['LZ4', 3, Buffer.from(compressing(lz4).compress(zeros))],
  ['Zstandard', 4, repeated(70, 131_072)],
])(
  'a batch by %s that would fill the memory is refused, and one within the bound is read',
  async (_, codec, bomb) => {
    await expect(decompress(codec, bomb, 8_000_000)).rejects.toThrow();
    const { length } = await decompress(codec, bomb, 64_000_000);
    expect(length).toBeGreaterThan(8_000_000);
    expect(bomb.length).toBeLessThan(length / 10);
  },
);

test('a codec that Kafka does not have is an error that says so', async () => {
  await expect(decompress(7, content)).rejects.toThrow(/no codec 7/);
});
