import { Troubles } from '@melange/backend-kit';
import { silentLogger } from '@melange/core';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { GroupListener, GroupMember } from '../src/client/index.ts';
import { Membership, type MembershipContext } from '../src/consume/membership.ts';
import { Progress } from '../src/consume/progress.ts';
import { settingsOf } from '../src/options.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** A membership over members that do nothing by themselves. */
function scene(commit: () => Promise<void> = async () => undefined) {
  const settings = settingsOf({ brokers: ['localhost:9092'], sessionTimeoutMs: 6_000 });
  const layout = { deadLetterQueue: undefined, bindings: new Map(), topics: ['orders'] };
  const troubles = new Troubles({ logger: silentLogger });
  const progress = new Progress('orders', settings, troubles);
  const listeners: GroupListener[] = [];
  const topics: string[][] = [];
  const running = new Set<GroupMember>();
  const told = { stopped: 0, mostRunning: 0, lost: 0 };
  // What of the client and the topology is asked for.
  const client = {
    join: (_: string, ofMember: string[], listener: GroupListener): GroupMember => {
      listeners.push(listener);
      topics.push(ofMember);
      const member: GroupMember = {
        start: async () => {
          running.add(member);
          told.mostRunning = Math.max(told.mostRunning, running.size);
        },
        commit,
        pause: () => undefined,
        resume: () => undefined,
        stop: async () => {
          told.stopped += 1;
          running.delete(member);
        },
      };
      return member;
    },
    committedBy: async () => [{ topic: 'orders', partition: 0, offset: 0, metadata: '' }],
    rangesOf: async () => new Map([[0, { low: 0, high: 0 }]]),
  };
  const topology = { layoutOf: async () => ({ ...layout }) };
  const membership = new Membership({ ...layout }, {
    queue: 'orders',
    client,
    topology,
    settings,
    progress,
    logger: silentLogger,
    onReady: () => undefined,
    room: async () => undefined,
    onArrived: () => undefined,
    onGone: () => undefined,
    onLost: () => {
      told.lost += 1;
    },
  } as unknown as MembershipContext);
  return { membership, troubles, listeners, topics, layout, told, running };
}

test('a client that says nothing any more, neither works nor fails, is left for another one', async () => {
  const { membership, troubles, listeners, told } = scene();
  membership.start();
  for (let beat = 0; beat < 30; beat += 1) {
    await vi.advanceTimersByTimeAsync(1_000);
    listeners[0]?.onHeartbeat(0);
  }
  expect(listeners).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(troubles.health()).toMatchObject({
    detail: expect.stringContaining('reaching the group of queue "orders"'),
  });
  await vi.advanceTimersByTimeAsync(4_000);
  expect(listeners).toHaveLength(2);
  expect(told.stopped).toBe(1);
  expect(troubles.has('receiving from queue "orders"')).toBe(true);
  await membership.leave();
});

test('a crash in the middle of reading other topics leaves one member, which reads them', async () => {
  const commits: (() => void)[] = [];
  const { membership, listeners, topics, layout, told, running } = scene(
    () => new Promise((resolve) => commits.push(resolve)),
  );
  membership.start();
  await vi.advanceTimersByTimeAsync(10);
  listeners[0]?.onAssigned({ orders: [0] });
  await vi.advanceTimersByTimeAsync(10);
  void listeners[0]?.onRecords('orders', 0, [], 4, 5);
  await vi.advanceTimersByTimeAsync(10);
  layout.topics = ['orders', 'events'];
  const rereading = membership.reread();
  await vi.advanceTimersByTimeAsync(10);
  // It waits for its commit, and crashes there.
  expect(commits).toHaveLength(1);
  listeners[0]?.onCrash(new Error('crashed'));
  await vi.advanceTimersByTimeAsync(2_000);
  for (const confirm of commits) confirm();
  await rereading;
  await vi.advanceTimersByTimeAsync(5_000);
  expect(told.mostRunning).toBe(1);
  expect(running.size).toBe(1);
  expect(topics).toEqual([['orders'], ['orders', 'events']]);
  await membership.leave();
  expect(running.size).toBe(0);
});

test('a process that the group has not heard of for its session lets go of its partitions, be an old answer at hand', async () => {
  const { membership, listeners, told } = scene();
  membership.start();
  await vi.advanceTimersByTimeAsync(10);
  listeners[0]?.onAssigned({ orders: [0] });
  await vi.advanceTimersByTimeAsync(5_000);
  listeners[0]?.onHeartbeat(0);
  const { assignment } = membership;
  expect(assignment?.isLost).toBe(false);
  // The process stands still: no timer fires.
  vi.setSystemTime(Date.now() + 7_000);
  const started = performance.now();
  vi.spyOn(performance, 'now').mockImplementation(() => started + 7_000);
  listeners[0]?.onHeartbeat(6_900);
  expect(membership.isTrusted()).toBe(false);
  expect(assignment?.isLost).toBe(true);
  expect(told.lost).toBe(1);
  vi.restoreAllMocks();
  await membership.leave();
});
