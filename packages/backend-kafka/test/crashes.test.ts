import { describe, expect, test } from 'vitest';
import type { Commit } from '../src/client/index.ts';
import { CrashAccount } from '../src/consume/crash-account.ts';
import { type PartitionTracker, trackerFrom } from '../src/consume/partition-tracker.ts';
import { type CrashMarks, crashesIn, describeCrashes } from '../src/wire/crash-marks.ts';
import { finishedBeyond } from '../src/wire/finished-offsets.ts';

/** What the group holds of the partition, and a process that takes it over. */
function partition(offset = 100) {
  let commit: Commit = { topic: 'orders', partition: 0, offset, metadata: '' };
  return {
    take(owner: string): PartitionTracker {
      return trackerFrom(commit, owner);
    },
    commit(tracker: PartitionTracker): void {
      commit = tracker.commit();
    },
    get committed(): Commit {
      return commit;
    },
  };
}

/** Takes the partition, receives records up to an offset, and ends without a word. */
function crash(place: ReturnType<typeof partition>, owner: string, end = 110): PartitionTracker {
  const tracker = place.take(owner);
  if (tracker.crashes.begin(end)) place.commit(tracker);
  for (let offset = tracker.position; offset < end; offset += 1) tracker.receive(offset);
  return tracker;
}

describe('marks of crashes in the metadata of a commit', () => {
  test.each<CrashMarks>([
    { starts: 1, bound: 1_000, alone: undefined, owner: 'a1' },
    { starts: 3, bound: 2_000_000, alone: { offset: 1_700, count: 20 }, owner: '0f9e2c11' },
    { starts: 0, bound: 1_000, alone: { offset: 1_000, count: 1 }, owner: 'z' },
  ])('come back as they were: %j', (marks) => {
    const text = `melange1:3.2,${describeCrashes(marks, 1_000)}`;
    expect(crashesIn(text, 1_000)).toEqual(marks);
    // Readers of finished offsets, also those of earlier versions, stop before them.
    expect([...finishedBeyond(text, 1_000)]).toEqual([1_003, 1_004]);
  });

  test.each(['', 'melange1:', 'melange1:1.2,', 'somebody ~1.2..0.a', 'melange1:~1.2', 'melange1:~x'])(
    'are not seen in %j',
    (text) => expect(crashesIn(text, 0)).toBeUndefined(),
  );

  test('are left out where the broker takes too little, and take room from finished offsets, not from their truth', () => {
    const place = partition(0);
    const tracker = place.take('a');
    tracker.crashes.begin(4_000);
    for (let offset = 0; offset < 4_000; offset += 1) tracker.receive(offset);
    for (let offset = 1; offset < 4_000; offset += 2) tracker.finish(offset);
    for (const longest of [4_000, 100, 40]) {
      const { metadata } = tracker.commit(longest);
      expect(metadata.length).toBeLessThanOrEqual(longest);
      expect(crashesIn(metadata, 0)).toMatchObject({ starts: 1, bound: 4_000 });
    }
    expect(crashesIn(tracker.commit(12).metadata, 0)).toBeUndefined();
    expect([...finishedBeyond(tracker.commit(100).metadata, 0)].every((offset) => offset % 2 === 1)).toBe(
      true,
    );
  });
});

describe('the search for the record that ends its process', () => {
  test('begins after three owners that ended at one offset, and not before', () => {
    const place = partition();
    for (const [index, owner] of ['a', 'b', 'c'].entries()) {
      const tracker = crash(place, owner);
      expect([tracker.crashes.isSearching, tracker.crashes.redeliveriesOf(100)]).toEqual([false, 0]);
      expect(crashesIn(place.committed.metadata, 100)?.starts).toBe(index + 1);
    }
    const next = place.take('d');
    expect(next.crashes.isSearching).toBe(true);
    expect([100, 109, 110].map((offset) => next.crashes.redeliveriesOf(offset))).toEqual([3, 3, 0]);
  });

  test('is over for the others when the record is found', () => {
    const place = partition();
    for (const owner of ['a', 'b', 'c']) crash(place, owner);
    const searching = place.take('d');
    for (let offset = 100; offset < 110; offset += 1) searching.receive(offset);
    searching.crashes.runAlone(103);
    place.commit(searching);
    const next = place.take('e');
    expect([103, 104].map((offset) => next.crashes.redeliveriesOf(offset))).toEqual([4, 3]);
    next.crashes.found();
    expect(next.crashes.isSearching).toBe(false);
    expect([103, 104].map((offset) => next.crashes.redeliveriesOf(offset))).toEqual([0, 0]);
    next.markDirty();
    place.commit(next);
    expect(place.take('f').crashes.isSearching).toBe(false);
    expect(place.committed.metadata).toBe('');
  });

  test('does not begin while owners get on', () => {
    const place = partition();
    for (const owner of ['a', 'b', 'c', 'd', 'e']) {
      const tracker = crash(place, owner, place.committed.offset + 10);
      tracker.finish(tracker.prefix);
      place.commit(tracker);
    }
    expect(place.committed).toMatchObject({ offset: 105, metadata: '' });
    expect(place.take('f').crashes.isSearching).toBe(false);
  });

  test('does not begin for owners that leave in order, with work that is not finished', () => {
    const place = partition();
    for (const owner of ['a', 'b', 'c', 'd', 'e']) {
      const tracker = crash(place, owner);
      expect(tracker.crashes.leave()).toBe(true);
      place.commit(tracker);
    }
    expect(place.committed.metadata).toBe('');
    // Nothing was begun: nothing is to be taken back.
    expect(place.take('f').crashes.leave()).toBe(false);
  });

  test('does not begin for a process that comes back itself: it lost a connection', () => {
    const place = partition();
    for (let again = 0; again < 5; again += 1) crash(place, 'a');
    expect(crashesIn(place.committed.metadata, 100)?.starts).toBe(1);
  });

  test('counts for the record that ran alone, and for no other one, over all restarts', () => {
    const place = partition();
    for (const owner of ['a', 'b', 'c']) crash(place, owner);
    // The first record is innocent, the second one is not.
    const tracker = crash(place, 'd');
    tracker.crashes.runAlone(100);
    place.commit(tracker);
    tracker.finish(100);
    tracker.crashes.ranAlone(100);
    tracker.crashes.runAlone(101);
    place.commit(tracker);
    for (let count = 4; count < 22; count += 1) {
      const again = crash(place, `owner${count}`);
      expect(again.crashes.redeliveriesOf(101)).toBe(count);
      expect(again.crashes.redeliveriesOf(102)).toBe(3);
      expect(again.crashes.isSearching).toBe(true);
      again.crashes.runAlone(101);
      place.commit(again);
    }
  });

  test('ends with the last record that an owner had received; what comes after runs as ever', () => {
    const place = partition();
    for (const owner of ['a', 'b', 'c']) crash(place, owner, 102);
    const tracker = crash(place, 'd', 105);
    for (const offset of [100, 101]) {
      expect(tracker.crashes.isSearching).toBe(true);
      tracker.crashes.runAlone(offset);
      place.commit(tracker);
      tracker.finish(offset);
      tracker.crashes.ranAlone(offset);
    }
    place.commit(tracker);
    expect(tracker.crashes.isSearching).toBe(false);
    expect(place.committed).toMatchObject({ offset: 102, metadata: '' });
  });

  test('reaches as far as owners had received, be it in several fetches', () => {
    const place = partition();
    for (const owner of ['a', 'b', 'c']) {
      const tracker = crash(place, owner, 110);
      if (tracker.crashes.begin(150)) place.commit(tracker);
    }
    expect(place.take('d').crashes.redeliveriesOf(149)).toBe(3);
    expect(place.take('d').crashes.redeliveriesOf(150)).toBe(0);
  });

  test('a record that ran alone and was given back in order is not counted', () => {
    const place = partition();
    for (const owner of ['a', 'b', 'c']) crash(place, owner);
    const tracker = crash(place, 'd');
    tracker.crashes.runAlone(100);
    place.commit(tracker);
    tracker.crashes.leave();
    place.commit(tracker);
    const next = place.take('e');
    expect(next.crashes.redeliveriesOf(100)).toBe(3);
  });
});

test('a partition without marks of an owner suspects nobody', () => {
  const account = new CrashAccount(undefined, 'a', 0);
  expect([account.isSearching, account.redeliveriesOf(0), account.textAt(0)]).toEqual([false, 0, '']);
});
