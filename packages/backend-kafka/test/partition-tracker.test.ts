import { expect, test } from 'vitest';
import { PartitionTracker } from '../src/consume/partition-tracker.ts';
import { finishedBeyond } from '../src/wire/finished-offsets.ts';

const tracker = (start = 0, finished: readonly number[] = [], isKnown = true): PartitionTracker =>
  new PartitionTracker('orders', 0, start, new Set(finished), isKnown);

const finishedIn = (one: PartitionTracker): number[] => {
  const { metadata, offset } = one.commit();
  return [...finishedBeyond(metadata, offset)];
};

test('what was finished before is not delivered, and stays finished while it was not received yet', () => {
  const one = tracker(10, [12, 15]);
  expect([10, 11, 12].map((offset) => one.receive(offset))).toEqual([true, true, false]);
  expect(finishedIn(one)).toEqual([12, 15]);
  one.finish(10);
  one.finish(11);
  expect([one.prefix, one.isDirty]).toEqual([13, true]);
  expect(finishedIn(one)).toEqual([15]);
});

test('a log that begins anew is all new: its offsets stand for other records', () => {
  const one = tracker(10, [12]);
  one.receive(10);
  one.restart();
  expect([one.position, one.prefix, one.size]).toEqual([0, 0, 0]);
  expect([0, 12].map((offset) => one.receive(offset))).toEqual([true, true]);
  expect(finishedIn(one)).toEqual([]);
});

test.each([(one: PartitionTracker) => void one.receive(0), (one: PartitionTracker) => one.passOver(0)])(
  'a partition of which nothing was committed may begin anywhere, once',
  (hear) => {
    const one = tracker(0, [], false);
    expect(one.isKnown).toBe(false);
    hear(one);
    expect(one.isKnown).toBe(true);
  },
);

test('offsets with gaps, finished in any order, are found however many there are', () => {
  const one = tracker();
  const offsets = Array.from({ length: 5_000 }, (_, n) => n * 2 + Math.floor(n / 7));
  for (const offset of offsets) one.receive(offset);
  // All but the last, from the middle on and then from the front.
  for (const offset of [...offsets.slice(2_500, -1), ...offsets.slice(0, 2_500)]) one.finish(offset);
  expect([one.prefix, one.size]).toEqual([offsets.at(-1), 1]);
  // Offsets that nobody received are nobody's.
  one.finish(1);
  one.finish((offsets.at(-1) as number) + 1);
  expect(one.size).toBe(1);
  one.finish(offsets.at(-1) as number);
  expect([one.prefix, one.size]).toEqual([one.position, 0]);
});
