import { describe, expect, test, vi } from 'vitest';
import type { Commit } from '../src/client/index.ts';
import { Assignment } from '../src/consume/assignment.ts';
import { CommitLoop } from '../src/consume/commit-loop.ts';
import { PartitionTracker } from '../src/consume/partition-tracker.ts';

/** A partition with the second of two records finished, so that its commit has metadata. */
function outOfOrder(topic: string): PartitionTracker {
  const tracker = new PartitionTracker(topic, 0, 0, new Set());
  for (const offset of [0, 1]) tracker.receive(offset);
  tracker.finish(1);
  return tracker;
}

function scene(answer: (commits: readonly Commit[]) => string | undefined) {
  const requests: (readonly Commit[])[] = [];
  const told = { committed: 0, failed: 0, fenced: 0 };
  const loop = new CommitLoop(1, {
    commit: async (commits) => {
      requests.push(commits);
      const type = answer(commits);
      if (type !== undefined) throw Object.assign(new Error(type), { type });
    },
    onCommitted() {
      told.committed += 1;
    },
    onFailed() {
      told.failed += 1;
    },
    onFenced() {
      told.fenced += 1;
    },
  });
  const trackers = ['orders', 'events'].map(outOfOrder);
  const assignment = new Assignment(new Map(trackers.map((one) => [`${one.topic}/0`, one])), () => undefined);
  loop.follow(assignment);
  return { loop, requests, told, trackers };
}

describe('a commit that the broker does not take', () => {
  test('is told, and made again until it is taken', async () => {
    let failures = 3;
    const { loop, told, trackers } = scene(() => {
      failures -= 1;
      return failures >= 0 ? 'NOT_COORDINATOR_FOR_GROUP' : undefined;
    });
    await loop.flush();
    expect(told).toEqual({ committed: 0, failed: 1, fenced: 0 });
    await vi.waitFor(() => expect(told.committed).toBe(1));
    expect(told.failed).toBe(3);
    expect(trackers.some(({ isDirty }) => isDirty)).toBe(false);
    await loop.close();
  });

  test('since the group went on without this process: the partitions are given up', async () => {
    const { loop, told, requests } = scene(() => 'UNKNOWN_MEMBER_ID');
    await loop.flush();
    expect(told).toEqual({ committed: 0, failed: 0, fenced: 1 });
    expect(requests).toHaveLength(1);
    loop.follow(undefined);
    await loop.close();
  });

  test('since its metadata is too large for this broker: is made again with less, at last with none', async () => {
    const { loop, told, requests } = scene((commits) =>
      commits.some(({ metadata }) => metadata !== '') ? 'OFFSET_METADATA_TOO_LARGE' : undefined,
    );
    await loop.flush();
    await vi.waitFor(() => expect(told.committed).toBe(1));
    expect(told.failed).toBe(0);
    expect(requests[0]?.every(({ metadata }) => metadata !== '')).toBe(true);
    expect(requests.at(-1)?.map(({ offset, metadata }) => [offset, metadata])).toEqual([
      [0, ''],
      [0, ''],
    ]);
    await loop.close();
  });

  test('since one topic is gone: the others are committed', async () => {
    const { loop, told, requests } = scene((commits) =>
      commits.some(({ topic }) => topic === 'events') ? 'UNKNOWN_TOPIC_OR_PARTITION' : undefined,
    );
    await loop.flush();
    expect(told).toEqual({ committed: 1, failed: 0, fenced: 0 });
    expect(requests.map((commits) => commits.map(({ topic }) => topic))).toEqual([
      ['orders', 'events'],
      ['orders'],
      ['events'],
    ]);
    await loop.close();
  });
});

describe('a commit that is waited for', () => {
  test.each(['settle', 'untilCommitted'] as const)('is tried until it is taken: %s', async (way) => {
    let failures = 3;
    const { loop, told, trackers } = scene(() => {
      failures -= 1;
      return failures >= 0 ? 'NOT_COORDINATOR_FOR_GROUP' : undefined;
    });
    const [tracker] = trackers as [PartitionTracker, PartitionTracker];
    await (way === 'settle' ? loop.settle(10_000) : loop.untilCommitted(tracker, 10_000));
    expect(told.committed).toBe(1);
    expect(tracker.isDirty).toBe(false);
    await loop.close();
  });

  test.each(['settle', 'untilCommitted'] as const)('is given up at its deadline: %s', async (way) => {
    const { loop, told, trackers } = scene(() => 'NOT_COORDINATOR_FOR_GROUP');
    const [tracker] = trackers as [PartitionTracker, PartitionTracker];
    await (way === 'settle' ? loop.settle(120) : loop.untilCommitted(tracker, 120));
    expect(tracker.isDirty).toBe(true);
    expect(told.committed).toBe(0);
    loop.follow(undefined);
    await loop.close();
  });

  test('does not overtake the one before it: offsets never go back', async () => {
    const answers: (() => void)[] = [];
    const { trackers } = scene(() => undefined);
    const loop = new CommitLoop(1_000, {
      commit: () => new Promise((resolve) => void answers.push(resolve)),
      onCommitted: () => undefined,
      onFailed: () => undefined,
      onFenced: () => undefined,
    });
    loop.follow(new Assignment(new Map(trackers.map((one) => [one.topic, one])), () => undefined));
    const first = loop.flush();
    await vi.waitFor(() => expect(answers).toHaveLength(1));
    trackers[0]?.finish(0);
    const second = loop.flush();
    await new Promise((resolve) => setImmediate(resolve));
    expect(answers).toHaveLength(1);
    answers[0]?.();
    await first;
    await vi.waitFor(() => expect(answers).toHaveLength(2));
    answers[1]?.();
    await second;
    await loop.close();
  });
});
