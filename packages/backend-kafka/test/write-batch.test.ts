import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { decompress } from '../src/client/decompress.ts';
import type { OutgoingRecord } from '../src/wire/message.ts';
import { readRecordBatches } from '../src/wire/read-batch.ts';
import { writeRecordBatch } from '../src/wire/write-batch.ts';

const origin = { producerId: 4711n, epoch: 3, firstSequence: 12 };

/** The records of a batch as they are read, with their times. */
async function read(bytes: Buffer): Promise<readonly (OutgoingRecord & { readonly timestamp: number })[]> {
  const place = { topic: 'orders', partition: 0, bytes };
  const found = await readRecordBatches(place, [], decompress);
  if (found === 'older-format') throw new Error(found);
  return found.records.map(({ key, value, headers, timestamp }) => ({ key, value, headers, timestamp }));
}

const record = (fields: Partial<OutgoingRecord>): OutgoingRecord => ({
  key: null,
  value: null,
  headers: {},
  ...fields,
});

test.each([
  ['as they are', undefined],
  ['compressed', gzipSync],
])('what is written is read again: keys, values, headers, repeated names and nulls, %s', async (_, gzip) => {
  const records = [
    record({}),
    record({ key: Buffer.alloc(0), value: Buffer.alloc(0) }),
    record({
      key: Buffer.from('klíč'),
      value: Buffer.from([0, 255]),
      headers: { jméno: Buffer.from('1'), none: null, twice: [Buffer.from('a'), null, Buffer.alloc(0)] },
    }),
  ];
  const found = await read(writeRecordBatch(records, origin, 1_700_000_000_123, gzip));
  expect(found).toEqual(records.map((one) => ({ ...one, timestamp: 1_700_000_000_123 })));
});

test('lengths of every number of bytes are written as they are counted', async () => {
  for (const length of [0, 1, 50, 63, 64, 65, 8_100, 8_191, 8_192, 1_048_570, 1_048_576]) {
    const records = [record({ value: Buffer.alloc(length, 1) }), record({ key: Buffer.alloc(length, 2) })];
    const bytes = writeRecordBatch(records, origin, 1);
    expect(bytes.readInt32BE(8)).toBe(bytes.length - 12);
    expect((await read(bytes)).map(({ key, value }) => [key?.length, value?.length])).toEqual([
      [undefined, length],
      [length, undefined],
    ]);
  }
});

test('many records have their places in the batch', async () => {
  const records = Array.from({ length: 1_000 }, (_, n) => record({ value: Buffer.from(`${n}`) }));
  const bytes = writeRecordBatch(records, origin, 1);
  expect((await read(bytes)).map(({ value }) => String(value))).toEqual(records.map((_, n) => `${n}`));
  // Of the producer: its id, its epoch, the number of the first record; then how many there are.
  expect([
    bytes.readBigInt64BE(43),
    bytes.readInt16BE(51),
    bytes.readInt32BE(53),
    bytes.readInt32BE(57),
  ]).toEqual([4711n, 3, 12, 1_000]);
});
