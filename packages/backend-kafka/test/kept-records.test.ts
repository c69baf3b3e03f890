import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { Assignment } from '../src/consume/assignment.ts';
import type { Entry } from '../src/consume/entry.ts';
import { PartitionTracker } from '../src/consume/partition-tracker.ts';
import type { TakenRecord } from '../src/consume/taken-record.ts';
import type { FetchedRecord } from '../src/wire/fetched-record.ts';
import { fromRecord, type IncomingRecord } from '../src/wire/message.ts';
import { readRecordBatches } from '../src/wire/read-batch.ts';
import { batchOf } from './support/encoding.ts';

/** Records as they were fetched, of which each holds all of the fetch. */
async function fetched(count: number, notBefore = 0): Promise<readonly FetchedRecord[]> {
  const records = Array.from({ length: count }, (_, n) => ({
    timestampDelta: n * 1_000,
    key: Buffer.from(n < 10 ? 'busy' : `key-${n}`),
    value: Buffer.alloc(1_000, n),
    headers: {
      message_id: Buffer.from(`id-${n}`),
      twice: [Buffer.from('1'), Buffer.from('ž')],
      melange_not_before: Buffer.from(`${notBefore}`),
    },
  }));
  const bytes = await batchOf({ firstOffset: 0, records });
  const read = await readRecordBatches({ topic: 'orders', partition: 0, bytes }, [], async () => bytes);
  if (read === 'older-format') throw new Error(read);
  return read.records;
}

/** Bytes that are in memory for a record. */
function heldBy(record: IncomingRecord): number {
  let held = 0;
  record.visit?.({
    value(bytes) {
      held = bytes.buffer.byteLength;
    },
    header: () => undefined,
  });
  return held;
}

function holding(records: readonly FetchedRecord[]): Assignment {
  const tracker = new PartitionTracker('orders', 0, 0, new Set());
  const assignment = new Assignment(new Map([['orders/0', tracker]]), () => undefined);
  for (const record of records) {
    tracker.receive(record.offset);
    assignment.add(record, tracker);
  }
  return assignment;
}

test('a record that lets go of its fetch is the same record', async () => {
  const [one, other] = (await fetched(50)).slice(30) as [FetchedRecord, FetchedRecord];
  const before = [fromRecord(one), one.timestamp, one.keyText, one.header('message_id'), one.size];
  one.detach();
  one.detach();
  expect([fromRecord(one), one.timestamp, one.keyText, one.header('message_id'), one.size]).toEqual(before);
  expect(heldBy(one)).toBeLessThan(2_000);
  expect(fromRecord(other).id).toBe('id-31');
});

test('what waits for its time holds its own bytes only', async () => {
  const records = await fetched(100, Date.now() + 3_600_000);
  const assignment = holding(records);
  expect(assignment.waiting).toBe(100);
  expect(Math.max(...records.map(heldBy))).toBeLessThan(2_000);
  assignment.drop();
});

test('what waits for its key, is in a handler, or not handed over, holds its own bytes only once it stays', async () => {
  const records = await fetched(100);
  const assignment = holding(records);
  const inHandlers = [assignment.take(), assignment.take(), assignment.take()] as Entry[];
  for (const entry of inHandlers) assignment.busy.add({ entry, slot: -1 } as unknown as TakenRecord);
  const finished = inHandlers[1] as Entry;
  assignment.putBack(inHandlers[2] as Entry);
  assignment.detachOld();
  expect(Math.min(...records.map(heldBy))).toBeGreaterThan(90_000);
  assignment.detachOld();
  expect(inHandlers.map(({ record }) => record.offset)).toEqual([0, 10, 11]);
  expect(Math.max(...records.map(heldBy))).toBeLessThan(2_000);
  assignment.finish(finished);
});

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** Memory of bytes, once nothing is left that nobody needs. */
async function bytesInMemory(): Promise<number> {
  // Bytes are freed in the background, a little later.
  for (let times = 0; times < 3; times += 1) {
    collectGarbage();
    await new Promise((resolve) => setImmediate(resolve));
  }
  return process.memoryUsage().arrayBuffers;
}

test.each([
  ['waiting for its time', Date.now() + 3_600_000, 'key-0'],
  ['waiting for its key', 0, 'slow'],
])(
  'of 200 fetches of 300 KB each, a record %s keeps 1 KB in memory, not its fetch',
  async (_, notBefore, key) => {
    const recordOf = (name: string, due: number) => ({
      key: Buffer.from(name),
      value: Buffer.alloc(1_000, 1),
      headers: { melange_not_before: Buffer.from(`${due}`) },
    });
    const others = Array.from({ length: 280 }, (_, n) => recordOf(`other-${n}`, 0));
    const template = await batchOf({ firstOffset: 0, records: [recordOf(key, notBefore), ...others] });
    const tracker = new PartitionTracker('orders', 0, 0, new Set());
    const assignment = new Assignment(new Map([['orders/0', tracker]]), () => undefined);
    const held: Entry[] = [];
    const before = await bytesInMemory();
    for (let fetch = 0; fetch < 200; fetch += 1) {
      const bytes = Buffer.alloc(template.length);
      template.copy(bytes);
      bytes.writeBigInt64BE(BigInt(fetch * 281));
      const read = await readRecordBatches({ topic: 'orders', partition: 0, bytes }, [], async () => bytes);
      if (read === 'older-format') throw new Error(read);
      for (const record of read.records) if (tracker.receive(record.offset)) assignment.add(record, tracker);
      for (let entry = assignment.take(); entry !== undefined; entry = assignment.take())
        if (entry.key === 'slow') held.push(entry);
        else assignment.finish(entry);
      // Once a second, where records stay.
      assignment.detachOld();
    }
    assignment.detachOld();
    const kept = (await bytesInMemory()) - before;
    expect(assignment.waiting + assignment.buffered + held.length).toBe(200);
    // Whole fetches are 60 MB.
    expect(kept).toBeLessThan(2_000_000);
    assignment.drop();
  },
);
