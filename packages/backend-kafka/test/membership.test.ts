import { silentLogger } from '@melange/core';
import { expect, onTestFinished, test, vi } from 'vitest';
import type { GroupListener, GroupMember } from '../src/kafka-client/index.ts';
import { settingsOf } from '../src/kafka-options.ts';
import { Membership, type MembershipContext } from '../src/membership.ts';
import { Progress } from '../src/progress.ts';

test('a client that says nothing any more, neither works nor fails, is left for another one', async () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const settings = settingsOf({ brokers: ['localhost:9092'], sessionTimeoutMs: 6_000 });
  const layout = { deadLetterQueue: undefined, bindings: new Map(), topics: ['orders'] };
  const progress = new Progress('orders', settings);
  const listeners: GroupListener[] = [];
  let stopped = 0;
  const member: GroupMember = {
    start: async () => undefined,
    commit: async () => undefined,
    pause: () => undefined,
    resume: () => undefined,
    stop: async () => {
      stopped += 1;
    },
  };
  // What of the client and the topology is asked for.
  const client = {
    join: (_: string, __: unknown, listener: GroupListener) => listeners.push(listener) && member,
  };
  const membership = new Membership(layout, {
    queue: 'orders',
    client,
    topology: { layoutOf: async () => layout },
    settings,
    progress,
    logger: silentLogger,
    onReady: () => undefined,
    room: async () => undefined,
    onArrived: () => undefined,
    onLost: () => undefined,
  } as unknown as MembershipContext);
  membership.start();
  for (let beat = 0; beat < 30; beat += 1) {
    await vi.advanceTimersByTimeAsync(1_000);
    listeners[0]?.onHeartbeat();
  }
  expect(listeners).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(progress.health(0)).toMatchObject({ status: 'unhealthy' });
  await vi.advanceTimersByTimeAsync(4_000);
  expect(listeners).toHaveLength(2);
  expect(stopped).toBe(1);
  expect(progress.health(0)).toMatchObject({ detail: expect.stringContaining('no sign of life') });
  await membership.leave();
});
