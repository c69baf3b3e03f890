import { describe, expect, test } from 'vitest';
import { PartitionTracker } from '../src/consume/partition-tracker.ts';
import { describeFinished, finishedBeyond } from '../src/wire/finished-offsets.ts';

describe('finished offsets in the metadata of a commit', () => {
  test.each([
    [10, []],
    [10, [11]],
    [10, [12, 13, 14, 20, 21, 100_000]],
    [0, Array.from({ length: 5_000 }, (_, n) => n + 7)],
  ])('come back as they were: from %i', (offset, finished) => {
    const text = describeFinished(offset, finished);
    expect([...finishedBeyond(text, offset)]).toEqual(finished);
  });

  test('fit what the broker takes; those that do not fit are the last ones', () => {
    const everySecond = Array.from({ length: 5_000 }, (_, n) => n * 2 + 1);
    const text = describeFinished(0, everySecond);
    expect(Buffer.byteLength(text)).toBeLessThanOrEqual(4_096);
    const back = [...finishedBeyond(text, 0)];
    expect(back.length).toBeGreaterThan(900);
    expect(back).toEqual(everySecond.slice(0, back.length));
  });

  test('a run that does not fit ends them: what comes after it would be taken for finished elsewhere', () => {
    // A short run follows where the long one has no room any more.
    const finished = [1, 3, 100_000_000, 100_000_002];
    for (let longest = 0; longest < 40; longest += 1) {
      const back = [...finishedBeyond(describeFinished(0, finished, longest), 0)];
      expect(back).toEqual(finished.slice(0, back.length));
    }
    const short = describeFinished(0, [1, 3]).length;
    expect([...finishedBeyond(describeFinished(0, finished, short + 5), 0)]).toEqual([1, 3]);
  });

  test('a run as long as its number allows is followed by another one', () => {
    const length = 36 ** 4 + 10;
    function* all(): Generator<number> {
      for (let offset = 5; offset < 5 + length; offset += 1) yield offset;
    }
    const finished = finishedBeyond(describeFinished(0, all()), 0);
    expect([finished.size, finished.has(4), finished.has(5), finished.has(4 + length)]).toEqual([
      length,
      false,
      true,
      true,
    ]);
  });

  test.each(['', 'somebody else wrote this', 'melange1:', 'melange1:x.y.z,', 'melange1:1'])(
    'what is not ours means nothing: %j',
    (text) => expect([...finishedBeyond(text, 3)]).toEqual([]),
  );
});

describe('a partition', () => {
  const tracker = (start = 0, finished: number[] = []) =>
    new PartitionTracker('t', 0, start, new Set(finished));

  test('commits the contiguous prefix, and says what is finished beyond it', () => {
    const partition = tracker();
    for (const offset of [0, 1, 2, 3, 5]) expect(partition.receive(offset)).toBe(true);
    for (const offset of [3, 0, 5]) partition.finish(offset);
    const commit = partition.commit();
    expect(commit.offset).toBe(1);
    expect([...finishedBeyond(commit.metadata, 1)]).toEqual([3, 5]);
    for (const offset of [1, 2]) partition.finish(offset);
    expect(partition.commit()).toMatchObject({ offset: 6, metadata: '' });
  });

  test('takes nothing twice, and nothing that was finished in an earlier life', () => {
    const partition = tracker(10, [11, 13]);
    expect([10, 11, 11, 12, 13, 10].map((offset) => partition.receive(offset))).toEqual([
      true,
      false,
      false,
      true,
      false,
      false,
    ]);
    partition.finish(10);
    expect(partition.commit().offset).toBe(12);
  });

  test('does not forget what it has not received yet', () => {
    const partition = tracker(10, [12, 40]);
    partition.receive(10);
    const { offset, metadata } = partition.commit();
    expect([...finishedBeyond(metadata, offset)]).toEqual([12, 40]);
  });

  test('passes over markers of transactions, and over nothing that is unfinished before them', () => {
    const partition = tracker();
    partition.receive(0);
    partition.passOver(4);
    expect(partition.commit().offset).toBe(0);
    partition.finish(0);
    expect(partition.commit().offset).toBe(5);
    partition.passOver(6);
    expect(partition.commit().offset).toBe(7);
  });

  test('is dirty again when a commit failed', () => {
    const partition = tracker();
    partition.receive(0);
    partition.finish(0);
    partition.commit();
    expect(partition.isDirty).toBe(false);
    partition.markDirty();
    expect(partition.isDirty).toBe(true);
  });

  test('holds on to a bounded memory of what is done with', () => {
    const partition = tracker();
    for (let offset = 0; offset < 10_000; offset += 1) {
      partition.receive(offset);
      partition.finish(offset);
    }
    expect(partition.size).toBe(0);
    expect(partition.prefix).toBe(10_000);
  });
});
