import { expect, test } from 'vitest';
import { Assignment } from '../src/consume/assignment.ts';
import type { Entry } from '../src/consume/entry.ts';
import { PartitionTracker } from '../src/consume/partition-tracker.ts';

/** An assignment with records of these keys, at the offsets 0, 1, 2… */
function holding(...keys: readonly string[]): {
  take: () => Entry;
  assignment: Assignment;
  rest: () => number;
} {
  const tracker = new PartitionTracker('orders', 0, 0, new Set());
  const assignment = new Assignment(new Map([['orders/0', tracker]]), () => undefined);
  for (const [offset, key] of keys.entries()) {
    tracker.receive(offset);
    const place = { topic: 'orders', partition: 0, offset, size: 1 };
    assignment.add({ ...place, key: Buffer.from(key), value: Buffer.from(''), headers: {} }, tracker);
  }
  return { assignment, take: () => assignment.take() as Entry, rest: () => assignment.buffered };
}

const offsetOf = (entry: Entry | undefined): number | undefined => entry?.record.offset;

test('a key is in flight once, what comes behind it waits in its order, and other keys pass', () => {
  const { assignment, take, rest } = holding('a', 'a', 'b', 'a');
  const first = take();
  expect([first, take(), assignment.take()].map(offsetOf)).toEqual([0, 2, undefined]);
  expect(rest()).toBe(2);
  assignment.finish(first);
  const second = take();
  expect([second, assignment.take()].map(offsetOf)).toEqual([1, undefined]);
  assignment.finish(second);
  expect(offsetOf(assignment.take())).toBe(3);
  expect(rest()).toBe(0);
});

test('what is given back comes again before those of its key that waited for it, and in its old place', () => {
  const { assignment, take } = holding('a', 'a', 'b', 'a', 'c');
  const [first, other] = [take(), take()];
  expect(offsetOf(other)).toBe(2);
  assignment.putBack(other);
  assignment.putBack(first);
  const again = take();
  expect(offsetOf(again)).toBe(0);
  expect([assignment.take(), assignment.take(), assignment.take()].map(offsetOf)).toEqual([2, 4, undefined]);
  assignment.finish(again);
  expect(offsetOf(assignment.take())).toBe(1);
});

test('is idle when what it works on is done, and not before: given up in the middle, it would be there twice', async () => {
  const { assignment } = holding();
  let finish = (): void => undefined;
  const working = assignment.working(
    () =>
      new Promise((resolve) => {
        finish = resolve;
      }),
  );
  const told: string[] = [];
  const idle = assignment.idle(60_000).then(() => told.push('idle'));
  await new Promise((resolve) => setImmediate(resolve));
  expect(told).toEqual([]);
  finish();
  await Promise.all([working, idle]);
  expect(told).toEqual(['idle']);
});
