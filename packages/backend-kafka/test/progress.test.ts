import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Assignment } from '../src/consume/assignment.ts';
import type { Entry } from '../src/consume/entry.ts';
import { PartitionTracker } from '../src/consume/partition-tracker.ts';
import { Progress } from '../src/consume/progress.ts';
import { standingOf } from '../src/consume/standing.ts';
import { settingsOf } from '../src/options.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function scene() {
  const progress = new Progress('orders', settingsOf({ brokers: ['localhost:9092'] }));
  /** Time passes, in which the group answers. */
  const pass = (milliseconds: number): void => {
    vi.advanceTimersByTime(milliseconds);
    progress.isAlive();
  };
  return { progress, pass };
}

describe('the health of a queue', () => {
  test.each([
    ['receive', 'not receiving'],
    ['copy', 'a copy was not confirmed'],
    ['read again', 'not read again'],
  ] as const)(
    'that fails to %s is degraded at once, unhealthy after 30 s, and well when it works',
    (work, told) => {
      const { progress, pass } = scene();
      expect(progress.failed(work, new Error('why'))).toBe(true);
      const says = expect.stringMatching(new RegExp(`queue "orders": .*${told}.*: why`));
      expect(progress.health(1)).toEqual({ status: 'degraded', detail: says });
      pass(29_000);
      // A later failure is the same trouble.
      expect(progress.failed(work, new Error('why'))).toBe(false);
      expect(progress.health(1)).toMatchObject({ status: 'degraded' });
      pass(1_500);
      expect(progress.health(1)).toEqual({ status: 'unhealthy', detail: says });
      expect([progress.worked(work), progress.worked(work)]).toEqual([true, false]);
      expect(progress.health(1)).toEqual({ status: 'healthy' });
    },
  );

  test('whose commits fail is degraded after 5 s, for a rebalance refuses some, and unhealthy after 30 s', () => {
    const { progress, pass } = scene();
    progress.failed('commit', new Error('why'));
    expect(progress.health(1)).toEqual({ status: 'healthy' });
    pass(5_500);
    expect(progress.health(1)).toEqual({
      status: 'degraded',
      detail: 'queue "orders": offsets not committed: why',
    });
    pass(25_000);
    expect(progress.health(1).status).toBe('unhealthy');
  });

  test('that finishes nothing is degraded after stalledAfterMs and unhealthy 30 s later; without work it is well', () => {
    const { progress, pass } = scene();
    pass(61_000);
    expect(progress.health(1)).toMatchObject({
      status: 'degraded',
      detail: expect.stringContaining('no message finished for 61 s with a lag of 1'),
    });
    pass(30_000);
    expect(progress.health(1).status).toBe('unhealthy');
    progress.made();
    expect(progress.health(1)).toEqual({ status: 'healthy' });
    pass(61_000);
    expect(progress.health(0)).toEqual({ status: 'healthy' });
  });

  test('of which Kafka deleted something is degraded for ten minutes', () => {
    const { progress, pass } = scene();
    progress.lost('3 record(s)');
    pass(599_000);
    expect(progress.health(0)).toMatchObject({
      status: 'degraded',
      detail: expect.stringContaining('3 record'),
    });
    pass(2_000);
    expect(progress.health(0)).toEqual({ status: 'healthy' });
  });

  test('is unhealthy when the group has not answered for a session', () => {
    const { progress } = scene();
    vi.advanceTimersByTime(3_500);
    expect(progress.health(0).status).toBe('degraded');
    vi.advanceTimersByTime(27_000);
    expect(progress.health(0).status).toBe('unhealthy');
  });
});

describe('what stands still', () => {
  /** One partition, whose records have these keys. */
  function holding(...keys: readonly (string | undefined)[]) {
    const tracker = new PartitionTracker('orders', 0, 0, new Set());
    const assignment = new Assignment(new Map([['orders/0', tracker]]), () => undefined);
    for (const [offset, key] of keys.entries()) {
      tracker.receive(offset);
      const bytes = key === undefined ? null : Buffer.from(key);
      const place = { topic: 'orders', partition: 0, offset, size: 1 };
      assignment.add({ ...place, key: bytes, value: null, headers: {} }, tracker);
    }
    const entries = keys.flatMap(() => assignment.take() ?? []);
    return { tracker, assignment, entries };
  }

  test('is a key that others wait for, and no other one; the health names it and stays degraded', () => {
    const { assignment, entries } = holding('a', 'b', 'b', 'b', 'c', 'c');
    const { progress, pass } = scene();
    pass(59_000);
    expect(standingOf(assignment, 60_000, 10)).toBeUndefined();
    pass(100_000);
    const standing = standingOf(assignment, 60_000, 10);
    const detail = 'key "b" stands still for 159 s, 2 keys in all';
    expect(standing).toEqual({ kind: 'key', detail, forMs: 159_000 });
    progress.made();
    expect(progress.health(1, standing)).toEqual({ status: 'degraded', detail: `queue "orders": ${detail}` });
    // Those behind it have a time of their own.
    for (const entry of entries) assignment.finish(entry);
    expect(standingOf(assignment, 60_000, 10)).toBeUndefined();
    pass(70_000);
    expect(standingOf(assignment, 60_000, 10)?.detail).toBe('key "b" stands still for 70 s');
  });

  test('is a partition of which no more is read; the health names it, unhealthy 30 s later', () => {
    const { tracker, assignment, entries } = holding(undefined, undefined, undefined);
    const { progress, pass } = scene();
    for (const entry of entries.slice(1)) assignment.finish(entry);
    tracker.isPaused = true;
    pass(61_000);
    progress.made();
    const standing = standingOf(assignment, 60_000, 3);
    const says = 'partition orders/0 stands still for 61 s: 3 offsets wait for offset 0';
    expect(progress.health(1, standing)).toEqual({ status: 'degraded', detail: `queue "orders": ${says}` });
    pass(30_000);
    progress.made();
    expect(progress.health(1, standingOf(assignment, 60_000, 3)).status).toBe('unhealthy');
    expect(standingOf(assignment, 60_000, 4)).toBeUndefined();
    tracker.isPaused = false;
    expect(standingOf(assignment, 60_000, 3)).toBeUndefined();
    expect(tracker.unmovedMs).toBe(91_000);
    assignment.finish(entries[0] as Entry);
    expect(tracker.unmovedMs).toBe(0);
  });
});
