import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { GroupMember } from '../src/client/index.ts';
import { Assignment } from '../src/consume/assignment.ts';
import { Backpressure } from '../src/consume/backpressure.ts';
import type { Copies } from '../src/consume/copies.ts';
import { PartitionTracker } from '../src/consume/partition-tracker.ts';
import { toRetry } from '../src/wire/copies.ts';
import type { IncomingRecord } from '../src/wire/message.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const nothing = async (): Promise<void> => undefined;
const copies: Pick<Copies, 'postpone'> = { postpone: nothing };

/** Two partitions, and as many records of the first one at hand, each of so many bytes. */
function scene(atHand: number, size = 1) {
  const paused = new Set<number>();
  const member: GroupMember = {
    start: nothing,
    stop: nothing,
    commit: nothing,
    pause: (_topic, partition) => void paused.add(partition),
    resume: (_topic, partition) => void paused.delete(partition),
  };
  const trackers = [0, 1].map((partition) => new PartitionTracker('orders', partition, 0, new Set()));
  const [tracker] = trackers as [PartitionTracker, PartitionTracker];
  const assignment = new Assignment(
    new Map(trackers.map((one) => [`orders/${one.partition}`, one])),
    () => undefined,
  );
  for (let offset = 0; offset < atHand; offset += 1) {
    tracker.receive(offset);
    const place = { topic: 'orders', partition: 0, offset, size };
    assignment.add({ ...place, key: null, value: Buffer.from('1'), headers: {} }, tracker);
  }
  const take = (count: number): void => {
    for (let taken = 0; taken < count; taken += 1) {
      const entry = assignment.take();
      if (entry !== undefined) assignment.finish(entry);
    }
  };
  const backpressure = new Backpressure(
    'orders',
    10_000,
    copies,
    () => member,
    () => undefined,
  );
  return { paused, tracker, assignment, take, backpressure };
}

test('room that is made soon is waited for, and nothing is paused: the next fetch need not wait', async () => {
  const { paused, tracker, assignment, take, backpressure } = scene(3_000);
  let hasRoom = false;
  const waiting = backpressure.room(assignment, tracker).then(() => {
    hasRoom = true;
  });
  take(2_000);
  await Promise.resolve();
  expect(hasRoom).toBe(false);
  take(1);
  await waiting;
  expect(paused).toEqual(new Set());
});

test('where no room is made, partitions are paused until half of it is', async () => {
  const { paused, tracker, assignment, take, backpressure } = scene(3_000);
  const waiting = backpressure.room(assignment, tracker);
  await vi.advanceTimersByTimeAsync(1_000);
  await waiting;
  expect(paused).toEqual(new Set([0, 1]));
  // What was fetched already is taken in at once.
  await backpressure.room(assignment, tracker);
  take(2_400);
  backpressure.apply(assignment);
  expect(paused).toEqual(new Set([0, 1]));
  take(100);
  backpressure.apply(assignment);
  expect(paused).toEqual(new Set());
});

test('what is dropped makes room: a rebalance is not kept waiting', async () => {
  const { paused, tracker, assignment, backpressure } = scene(3_000);
  const waiting = backpressure.room(assignment, tracker);
  assignment.drop();
  await waiting;
  expect(paused).toEqual(new Set());
});

test('a few large records are as much as many small ones', async () => {
  const { paused, tracker, assignment, take, backpressure } = scene(20, 1_000_000);
  const waiting = backpressure.room(assignment, tracker);
  await vi.advanceTimersByTimeAsync(1_000);
  await waiting;
  expect(paused).toEqual(new Set([0, 1]));
  take(11);
  backpressure.apply(assignment);
  expect(paused).toEqual(new Set([0, 1]));
  take(1);
  backpressure.apply(assignment);
  expect(paused).toEqual(new Set());
  await backpressure.room(assignment, tracker);
});

test('what waits for its key, and what was given back, is at hand too', async () => {
  const { tracker, assignment, backpressure } = scene(0);
  for (let offset = 0; offset < 17; offset += 1) {
    tracker.receive(offset);
    const place = { topic: 'orders', partition: 0, offset, size: 1_000_000 };
    assignment.add({ ...place, key: Buffer.from('one'), value: Buffer.from('1'), headers: {} }, tracker);
  }
  expect(assignment.bufferedBytes).toBe(17_000_000);
  const first = assignment.take();
  expect(assignment.take()).toBeUndefined();
  expect(assignment.bufferedBytes).toBe(16_000_000);
  if (first !== undefined) assignment.putBack(first);
  expect(assignment.bufferedBytes).toBe(17_000_000);
  let hasRoom = false;
  const waiting = backpressure.room(assignment, tracker).then(() => {
    hasRoom = true;
  });
  await Promise.resolve();
  expect(hasRoom).toBe(false);
  const again = assignment.take();
  if (again !== undefined) assignment.finish(again);
  await waiting;
  expect(assignment.bufferedBytes).toBe(16_000_000);
});

test('what waits for long in the retry topic makes way when its copy is confirmed, and not before', async () => {
  const underWay: { readonly confirm: () => void; readonly fail: (error: Error) => void }[] = [];
  const postpone = () => new Promise<void>((confirm, fail) => void underWay.push({ confirm, fail }));
  const resumed: number[] = [];
  const member = {
    pause: () => undefined,
    resume: (_: string, partition: number) => resumed.push(partition),
  };
  const tracker = new PartitionTracker('orders.retry', 0, 0, new Set());
  const assignment = new Assignment(new Map([['orders.retry/0', tracker]]), () => undefined);
  for (let offset = 0; offset < 4; offset += 1) {
    tracker.receive(offset);
    const place = { topic: 'orders.retry', partition: 0, offset, size: 1 };
    const record = { ...place, key: null, value: Buffer.from('1'), headers: {} };
    assignment.add(toRetryAt(record, Date.now() + 3_600_000), tracker);
  }
  const backpressure = new Backpressure(
    'orders',
    4,
    { postpone },
    () => member as unknown as GroupMember,
    () => undefined,
  );
  backpressure.apply(assignment);
  await vi.advanceTimersByTimeAsync(1);
  expect([underWay.length, assignment.waiting, tracker.prefix]).toEqual([4, 0, 0]);
  for (const { fail } of underWay.splice(0)) fail(new Error('not confirmed'));
  await vi.advanceTimersByTimeAsync(1);
  // They wait here again, for their time or the next try.
  expect([assignment.waiting, tracker.prefix, resumed]).toEqual([4, 0, []]);
  await vi.advanceTimersByTimeAsync(2_000);
  expect([underWay.length, tracker.prefix]).toEqual([4, 0]);
  for (const { confirm } of underWay) confirm();
  await vi.advanceTimersByTimeAsync(1);
  expect([assignment.waiting, tracker.prefix, resumed]).toEqual([0, 4, [0]]);
  // Their copies come at that time, not they.
  await vi.advanceTimersByTimeAsync(3_600_000);
  expect(assignment.buffered).toBe(0);
});

/** The record as it is in the retry topic. */
function toRetryAt(record: IncomingRecord, notBefore: number): IncomingRecord {
  const { headers } = toRetry(record, { attemptsMade: 1, redeliveries: 0, notBefore });
  return { ...record, headers };
}
