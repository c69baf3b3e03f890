import { expect, test, vi } from 'vitest';
import { Assignment, type ReadAgain } from '../src/consume/assignment.ts';
import type { Entry } from '../src/consume/entry.ts';
import { PartitionTracker } from '../src/consume/partition-tracker.ts';
import type { IncomingRecord } from '../src/wire/message.ts';

const megabyte = 1_048_576;

function record(partition: number, offset: number): IncomingRecord {
  const value = Buffer.from(`${partition}/${offset}`);
  return { topic: 'orders', partition, offset, size: megabyte, key: Buffer.from('a'), value, headers: {} };
}

/** Two partitions with records of one key in turn. An answer holds what the partition has of the next three offsets. */
function scene(count: number, deleted: readonly number[] = []) {
  const trackers = [0, 1].map((partition) => new PartitionTracker('orders', partition, 0, new Set()));
  const reads: string[] = [];
  const readAgain: ReadAgain = async (_, { tracker, offset }) => {
    reads.push(`${tracker.partition}/${offset}`);
    if (deleted.includes(offset)) return [];
    return [offset, offset + 1, offset + 2]
      .filter((one) => !deleted.includes(one))
      .map((one) => record(tracker.partition, one));
  };
  const onReady = vi.fn();
  const assignment = new Assignment(
    new Map(trackers.map((one) => [`orders/${one.partition}`, one])),
    onReady,
    readAgain,
  );
  for (let n = 0; n < count; n += 1) {
    const tracker = trackers[n % 2] as PartitionTracker;
    const offset = Math.floor(n / 2);
    tracker.receive(offset);
    assignment.add(record(n % 2, offset), tracker);
  }
  return { assignment, reads, trackers };
}

async function next(assignment: Assignment): Promise<Entry> {
  let entry: Entry | undefined;
  await vi.waitFor(() => {
    entry = assignment.take();
    expect(entry).toBeDefined();
  });
  return entry as Entry;
}

test('what waits for its key beyond 4 MiB is let go, and comes in its order, each with its own bytes', async () => {
  const { assignment, reads } = scene(16);
  let entry = await next(assignment);
  // Those behind the first one are in their lane once they are looked at.
  expect(assignment.take()).toBeUndefined();
  expect(assignment.bufferedBytes).toBe(4 * megabyte);
  expect([assignment.buffered, assignment.ready]).toEqual([15, 0]);
  const came: string[] = [];
  for (let left = 15; ; left -= 1) {
    came.push(`${entry.record.value}`);
    expect(entry.record.offset).toBe(entry.offset);
    assignment.finish(entry);
    expect(assignment.buffered).toBe(left);
    if (left === 0) break;
    entry = await next(assignment);
    expect(assignment.bufferedBytes).toBeLessThanOrEqual(5 * megabyte);
  }
  expect(came).toEqual(Array.from({ length: 16 }, (_, n) => `${n % 2}/${Math.floor(n / 2)}`));
  expect(assignment.bufferedBytes).toBe(0);
  // Those that an answer had besides were not asked for again.
  expect(reads.length).toBeLessThan(11);
});

test('what is there no more is finished, and its key goes on', async () => {
  const { assignment, trackers } = scene(14, [3, 4]);
  const came: number[] = [];
  for (let entry = await next(assignment); ; entry = await next(assignment)) {
    came.push(entry.offset);
    assignment.take();
    assignment.finish(entry);
    if (trackers.every(({ size }) => size === 0)) break;
  }
  expect(came).toEqual([0, 0, 1, 1, 2, 2, 5, 5, 6, 6]);
  expect(trackers.map(({ prefix }) => prefix)).toEqual([7, 7]);
});

test('what is lost while it is read again is given to nobody', async () => {
  const { assignment } = scene(16);
  for (let finished = 0; finished < 5; finished += 1) {
    const entry = await next(assignment);
    assignment.take();
    assignment.finish(entry);
  }
  assignment.drop();
  await new Promise((resolve) => setImmediate(resolve));
  expect([assignment.take(), assignment.bufferedBytes]).toEqual([undefined, 0]);
});
