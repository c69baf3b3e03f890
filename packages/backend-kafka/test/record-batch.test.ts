import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { fromRecord, type IncomingRecord, keyOf } from '../src/wire/message.ts';
import { type AbortedTransaction, type FetchedRecords, readRecordBatches } from '../src/wire/read-batch.ts';
import { batchOf, type EncodableRecord, markerOf, olderFormat } from './support/encoding.ts';

const text = (value: string): Buffer => Buffer.from(value);

async function read(
  bytes: readonly Buffer[],
  aborted: readonly AbortedTransaction[] = [],
): Promise<FetchedRecords> {
  const fetched = { topic: 'orders', partition: 3, bytes: Buffer.concat(bytes) };
  const read = await readRecordBatches(fetched, aborted, async (_codec, compressed) => {
    const { gunzipSync } = await import('node:zlib');
    return gunzipSync(compressed);
  });
  if (read === 'older-format') throw new Error('an older format');
  return read;
}

const plain = ({ topic, partition, offset, key, value, headers }: IncomingRecord): IncomingRecord => ({
  ...{ topic, partition, offset, key, value },
  size: 0,
  headers: { ...headers },
});

const values = ({ records }: FetchedRecords): (string | undefined)[] =>
  records.map(({ value }) => value?.toString());

const manyRecords = Array.from({ length: 300 }, (_, n) => ({
  timestampDelta: n * 1_000_000,
  key: n % 3 === 0 ? null : text(`key-${n}`),
  value: n % 7 === 0 ? null : text('v'.repeat(n)),
  headers: {
    manifest: text('Order'),
    many: [text('1'), text('ž')],
    constructor: text(''),
    [`own-${n}`]: text('x'),
  },
}));

describe('record batches', () => {
  test('hold what was put into them', async () => {
    const bytes = await batchOf({ firstOffset: 2 ** 33, records: manyRecords });
    const { records, lastOffset } = await read([bytes]);
    expect(lastOffset).toBe(2 ** 33 + 299);
    for (const { size, key, value } of records)
      expect(size).toBeGreaterThan((key?.length ?? 0) + (value?.length ?? 0));
    expect(records.map(plain)).toEqual(
      manyRecords.map(({ key, value, headers }, n) => ({
        ...{ topic: 'orders', partition: 3, offset: 2 ** 33 + n, key, value },
        size: 0,
        headers: { ...headers },
      })),
    );
  });

  test('are the same messages, read where they lie or cut out', async () => {
    const notText = Buffer.from([0xff, 0, 0xc3, 0x28]);
    const odd: EncodableRecord[] = [
      { key: notText, value: notText, headers: {} },
      { key: text('žluťoučký'), value: text('\uFFFD is a character'), headers: { 'ž-name': text('ů') } },
      {
        key: text(''),
        value: text(''),
        headers: {
          message_id: text('018f-a'),
          manifest: [text('First'), text('Last')],
          serializer_id: text('1'),
          published_at: text('1767323045678'),
          melange_attempt: text('2'),
          melange_content_type: text('bytes'),
          __proto__x: text('y'),
          toString: text('z'),
        },
      },
      {
        key: null,
        value: null,
        headers: { serializer_id: text('one'), published_at: text(' '), manifest: text('') },
      },
      {
        key: null,
        value: text('1e3'),
        headers: { serializer_id: text('1e1'), published_at: text('1767323045678.25') },
      },
    ];
    const { records } = await read([await batchOf({ records: [...odd, ...manyRecords] })]);
    for (const record of records) {
      expect(fromRecord(record)).toEqual(fromRecord(plain(record)));
      expect(keyOf(record)).toEqual(keyOf(plain(record)));
    }
    expect(fromRecord(records[2] as IncomingRecord)).toMatchObject({
      ...{ id: '018f-a', manifest: 'Last', serializerId: 1, publishedAt: 1767323045678, key: '' },
      content: new Uint8Array(0),
      headers: { __proto__x: 'y', toString: 'z' },
    });
    expect(fromRecord(records[3] as IncomingRecord)).toMatchObject({
      ...{ id: 'orders-3-3', manifest: '', serializerId: undefined, publishedAt: undefined, content: null },
    });
    expect(fromRecord(records[4] as IncomingRecord)).toMatchObject({
      serializerId: 10,
      publishedAt: 1767323045678.25,
    });
  });

  test('that are compressed are read', async () => {
    const bytes = await batchOf({ records: manyRecords });
    const compressed = Buffer.concat([bytes.subarray(0, 61), gzipSync(bytes.subarray(61))]);
    compressed.writeInt32BE(compressed.length - 12, 8);
    compressed.writeInt16BE(1, 21);
    const { records } = await read([compressed]);
    expect(records.map(plain)).toEqual((await read([bytes])).records.map(plain));
  });

  test('that are cut off are left to the next fetch', async () => {
    const first = await batchOf({ records: [{ key: null, value: text('whole') }] });
    const second = await batchOf({ firstOffset: 1, records: manyRecords });
    for (const length of [0, 5, 16, 17, 30, 61, 100, second.length - 1]) {
      const cut = await read([first, second.subarray(0, length)]);
      expect(values(cut)).toEqual(['whole']);
      expect(cut.lastOffset).toBe(0);
    }
    expect(await read([second.subarray(0, 100)])).toEqual({ records: [], lastOffset: undefined });
  });

  test('that compaction has emptied are passed over, as is what it took from their ends', async () => {
    const emptied = await batchOf({ firstOffset: 0, lastOffsetDelta: 9, records: [] });
    const shortened = await batchOf({
      firstOffset: 10,
      lastOffsetDelta: 9,
      records: [{ key: null, value: text('left'), offsetDelta: 4 }],
    });
    expect(await read([emptied])).toEqual({ records: [], lastOffset: 9 });
    const { records, lastOffset } = await read([emptied, shortened]);
    expect(records.map(({ offset }) => offset)).toEqual([14]);
    expect(lastOffset).toBe(19);
  });

  test('of transactions that were aborted are left out, also where the fetch begins in the middle of several', async () => {
    const transactional = (firstOffset: number, producerId: number, value: string) =>
      batchOf({ firstOffset, producerId, transactional: true, records: [{ key: null, value: text(value) }] });
    const bytes = await Promise.all([
      transactional(20, 2, 'aborted of 2'),
      transactional(21, 1, 'aborted of 1'),
      transactional(22, 3, 'committed of 3'),
      markerOf(23, 2, true),
      transactional(24, 2, 'committed of 2'),
      markerOf(25, 3, false),
      batchOf({ firstOffset: 26, producerId: 1, records: [{ key: null, value: text('no transaction') }] }),
      markerOf(27, 1, true),
      markerOf(28, 2, false),
    ]);
    const aborted = [
      { producerId: 1, firstOffset: 0 },
      { producerId: 2, firstOffset: 5 },
    ];
    const fetched = await read(bytes, aborted);
    expect(values(fetched)).toEqual(['committed of 3', 'committed of 2', 'no transaction']);
    expect(fetched.lastOffset).toBe(28);
  });

  test('of an aborted transaction of one record are left out, alone or at the end of what was fetched', async () => {
    const one = (firstOffset: number) =>
      batchOf({
        firstOffset,
        producerId: 7,
        transactional: true,
        records: [{ key: null, value: text(`${firstOffset}`) }],
      });
    const aborted = [{ producerId: 7, firstOffset: 10 }];
    for (const bytes of [[await one(10)], [await one(10), await markerOf(11, 7, true)]]) {
      const fetched = await read(bytes, aborted);
      expect(values(fetched)).toEqual([]);
      expect(fetched.lastOffset).toBe(9 + bytes.length);
    }
    // What the same producer commits after it, and had committed before.
    const rest = await Promise.all([one(8), markerOf(9, 7, false), one(10), markerOf(11, 7, true), one(12)]);
    expect(values(await read(rest, aborted))).toEqual(['8', '12']);
  });

  test('say when their records were published, or when the broker took them where the topic wants that', async () => {
    const bytes = await batchOf({ records: manyRecords });
    bytes.writeBigInt64BE(1_700_000_000_000n, 27);
    bytes.writeBigInt64BE(1_800_000_000_000n, 35);
    const timesOf = ({ records }: FetchedRecords) => records.slice(0, 3).map(({ timestamp }) => timestamp);
    expect(timesOf(await read([bytes]))).toEqual([1_700_000_000_000, 1_700_001_000_000, 1_700_002_000_000]);
    bytes[22] = (bytes[22] as number) | 0x08;
    expect(timesOf(await read([bytes]))).toEqual(Array(3).fill(1_800_000_000_000));
  });

  test('of another format are told, and bytes that are none are an error', async () => {
    const none = async (): Promise<Buffer> => Buffer.alloc(0);
    const fetched = { topic: 'orders', partition: 0, bytes: olderFormat('before') };
    expect(await readRecordBatches(fetched, [], none)).toBe('older-format');
    const broken = await batchOf({ records: [{ key: null, value: text('value') }] });
    broken[61] = 0x7e;
    await expect(read([broken])).rejects.toThrow(RangeError);
    // Of a length that leads back to its own beginning.
    broken.writeInt32BE(-12, 8);
    await expect(read([broken])).rejects.toThrow(RangeError);
  });
});
