import { Troubles } from '@melange/backend-kit';
import { type Health, silentLogger } from '@melange/core';
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

/** A queue with so many records that are not finished. */
const withLag = (lag: number): Assignment =>
  ({ lag, trackers: new Map(), standingKey: () => undefined }) as unknown as Assignment;

function scene() {
  const troubles = new Troubles({ logger: silentLogger });
  const progress = new Progress(
    'orders',
    settingsOf({ brokers: ['localhost:9092'], maxTrackedOffsets: 3 }),
    troubles,
  );
  /** Time passes, in which the group answers. */
  const pass = (milliseconds: number): void => {
    vi.advanceTimersByTime(milliseconds);
    progress.markAlive();
  };
  const health = (assignment: Assignment = withLag(1)): Health => {
    progress.look(assignment);
    return troubles.health();
  };
  return { progress, pass, health };
}

describe('the health of a queue', () => {
  test.each([
    ['receive', 'receiving from'],
    ['read again', 'reading records again of'],
  ] as const)(
    'that fails to %s is degraded at once, unhealthy after 30 s, and well when it works',
    (work, told) => {
      const { progress, pass, health } = scene();
      progress.failed(work, new Error('why'));
      const says = expect.stringMatching(new RegExp(`${told} queue "orders" .*: why`));
      expect(health()).toEqual({ status: 'degraded', detail: says });
      pass(29_000);
      // A later failure is the same trouble.
      progress.failed(work, new Error('why'));
      expect(health()).toMatchObject({ status: 'degraded' });
      pass(1_500);
      expect(health()).toEqual({ status: 'unhealthy', detail: says });
      progress.worked(work);
      expect(health()).toEqual({ status: 'healthy' });
    },
  );

  test('whose commits fail is degraded after 5 s, for a rebalance refuses some, and unhealthy 30 s later', () => {
    const { progress, pass, health } = scene();
    progress.commitFailed(new Error('first'));
    progress.commitFailed(new Error('why'));
    expect(health()).toEqual({ status: 'healthy' });
    pass(5_500);
    expect(health()).toEqual({
      status: 'degraded',
      detail: 'trouble committing offsets of queue "orders" for 0 s: why',
    });
    pass(30_000);
    expect(health().status).toBe('unhealthy');
    progress.committed();
    pass(6_000);
    expect(health()).toEqual({ status: 'healthy' });
  });

  test('that finishes nothing is degraded after stalledAfterMs and unhealthy 30 s later; without work it is well', () => {
    const { progress, pass, health } = scene();
    pass(61_000);
    expect(health()).toMatchObject({
      status: 'degraded',
      detail: expect.stringContaining('no message finished for 61 s with a lag of 1'),
    });
    pass(30_000);
    expect(health().status).toBe('unhealthy');
    progress.markProgress();
    expect(health()).toEqual({ status: 'healthy' });
    pass(61_000);
    expect(health(withLag(0))).toEqual({ status: 'healthy' });
  });

  test('of which Kafka deleted something is degraded for ten minutes', () => {
    const { progress, pass, health } = scene();
    progress.lost('3 record(s)');
    pass(599_000);
    expect(health(withLag(0))).toMatchObject({
      status: 'degraded',
      detail: expect.stringContaining('3 record'),
    });
    pass(2_000);
    expect(health(withLag(0))).toEqual({ status: 'healthy' });
  });

  test('is degraded when the group has not answered for some heartbeats, and unhealthy 30 s later', () => {
    const { progress, health } = scene();
    vi.advanceTimersByTime(3_500);
    expect(health(withLag(0))).toMatchObject({
      status: 'degraded',
      detail: expect.stringContaining('reaching the group of queue "orders"'),
    });
    vi.advanceTimersByTime(30_000);
    expect(health(withLag(0)).status).toBe('unhealthy');
    progress.markAlive();
    expect(health(withLag(0))).toEqual({ status: 'healthy' });
  });

  test('that nobody consumes here any more is not told of', () => {
    const { progress, health, pass } = scene();
    pass(61_000);
    expect(health().status).toBe('degraded');
    progress.forget();
    expect(health(withLag(0))).toEqual({ status: 'healthy' });
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
    const { progress, pass, health } = scene();
    pass(59_000);
    expect(standingOf(assignment, 60_000, 10)).toBeUndefined();
    pass(100_000);
    const standing = standingOf(assignment, 60_000, 10);
    const detail = 'key "b" stands still for 159 s, 2 keys in all';
    expect(standing).toEqual({ kind: 'key', detail, forMs: 159_000 });
    progress.markProgress();
    expect(health(assignment)).toMatchObject({ status: 'degraded', detail: expect.stringContaining(detail) });
    // A restart would not help the key, and would stop the others.
    pass(60_000);
    progress.markProgress();
    expect(health(assignment).status).toBe('degraded');
    // Those behind it have a time of their own.
    for (const entry of entries) assignment.finish(entry);
    expect(standingOf(assignment, 60_000, 10)).toBeUndefined();
    pass(70_000);
    expect(standingOf(assignment, 60_000, 10)?.detail).toBe('key "b" stands still for 70 s');
  });

  test('is a partition of which no more is read; the health names it, unhealthy 30 s later', () => {
    const { tracker, assignment, entries } = holding(undefined, undefined, undefined);
    const { progress, pass, health } = scene();
    for (const entry of entries.slice(1)) assignment.finish(entry);
    tracker.isPaused = true;
    pass(61_000);
    progress.markProgress();
    const says = 'partition orders/0 stands still for 61 s: 3 offsets wait for offset 0';
    expect(health(assignment)).toMatchObject({ status: 'degraded', detail: expect.stringContaining(says) });
    pass(30_000);
    progress.markProgress();
    expect(health(assignment).status).toBe('unhealthy');
    expect(standingOf(assignment, 60_000, 4)).toBeUndefined();
    tracker.isPaused = false;
    expect(standingOf(assignment, 60_000, 3)).toBeUndefined();
    expect(tracker.unmovedMs).toBe(91_000);
    assignment.finish(entries[0] as Entry);
    expect(tracker.unmovedMs).toBe(0);
  });
});
