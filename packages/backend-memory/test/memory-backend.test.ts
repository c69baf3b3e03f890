import { MemoryBackend } from '@melange/backend-memory';
import type { Clock, Delivery, Message } from '@melange/core';
import { describe, expect, test } from 'vitest';

function message(id: string, key?: string): Message {
  return {
    id,
    content: id,
    manifest: undefined,
    serializerId: undefined,
    key,
    headers: {},
    publishedAt: undefined,
  };
}

/** Time that passes only when told to. */
function manualClock(): Clock & { advance(byMs: number): void } {
  let now = 0;
  const timers = new Set<{ readonly at: number; readonly callback: () => void }>();
  return {
    now: () => now,
    schedule(callback, delayMs) {
      const timer = { at: now + delayMs, callback };
      timers.add(timer);
      return () => void timers.delete(timer);
    },
    advance(byMs) {
      now += byMs;
      for (const timer of [...timers]) {
        if (timer.at > now) continue;
        timers.delete(timer);
        timer.callback();
      }
    },
  };
}

/** Resolves when everything that needs no time has happened. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

async function receiving(backend: MemoryBackend, queue: string, maxInFlight = 10): Promise<Delivery[]> {
  const deliveries: Delivery[] = [];
  await backend.subscribe(queue, { maxInFlight }, (delivery) => deliveries.push(delivery));
  return deliveries;
}

describe('leases', () => {
  test('a delivery past its lease is aborted and comes again; its late settlement does nothing', async () => {
    const clock = manualClock();
    const backend = new MemoryBackend({ clock, leaseMs: 1_000 });
    await backend.declareQueue('q');
    await backend.publishToQueue('q', [message('a')]);
    const deliveries = await receiving(backend, 'q');
    await settled();
    clock.advance(1_000);
    clock.advance(0);
    await settled();
    expect(deliveries.map(({ attempt }) => attempt)).toEqual([1, 2]);
    expect(deliveries[0]?.signal.reason).toMatchObject({ reason: 'lease-lost' });
    await deliveries[0]?.acknowledge();
    await deliveries[1]?.retry();
    clock.advance(0);
    await settled();
    expect(deliveries[2]?.attempt).toBe(3);
  });

  test('a settled delivery leaves no timer behind', async () => {
    const clock = manualClock();
    const backend = new MemoryBackend({ clock, leaseMs: 1_000 });
    await backend.declareQueue('q');
    await backend.publishToQueue('q', [message('a')]);
    const deliveries = await receiving(backend, 'q');
    await settled();
    await deliveries[0]?.acknowledge();
    clock.advance(5_000);
    await settled();
    expect(deliveries).toHaveLength(1);
  });
});

describe('bounded memory', () => {
  test('publishing beyond the bound names the messages that did not fit', async () => {
    const backend = new MemoryBackend({ maxMessages: 2 });
    await backend.declareQueue('q');
    const publishing = backend.publishToQueue(
      'q',
      ['a', 'b', 'c'].map((id) => message(id)),
    );
    await expect(publishing).rejects.toMatchObject({
      code: 'PUBLISH_FAILED',
      failures: [{ messageId: 'c', error: { code: 'QUEUE_FULL' } }],
    });
    expect(await backend.health()).toMatchObject({ status: 'degraded' });
    const deliveries = await receiving(backend, 'q');
    await settled();
    await expect(backend.publishToQueue('q', [message('d')])).rejects.toMatchObject({
      code: 'PUBLISH_FAILED',
    });
    await deliveries[0]?.acknowledge();
    await backend.publishToQueue('q', [message('d')]);
  });

  test('a full queue of a topic refuses the message for all of its queues', async () => {
    const backend = new MemoryBackend({ maxMessages: 1 });
    await backend.declareQueue('full', { topics: ['t'] });
    await backend.declareQueue('empty', { topics: ['t'] });
    await backend.publishToQueue('full', [message('a')]);
    await expect(backend.publishToTopic('t', [message('b')])).rejects.toMatchObject({
      code: 'PUBLISH_FAILED',
    });
    expect((await backend.describeQueue('empty')).depth).toBe(0);
  });

  test('a dead-lettering into a full queue rejects, and the message comes again', async () => {
    const clock = manualClock();
    const backend = new MemoryBackend({ clock, maxMessages: 1 });
    await backend.declareQueue('q', { deadLetterQueue: 'dead' });
    await backend.publishToQueue('dead', [message('old')]);
    await backend.publishToQueue('q', [message('a')]);
    const deliveries = await receiving(backend, 'q');
    await settled();
    await expect(deliveries[0]?.deadLetter({ reason: 'test' })).rejects.toMatchObject({ code: 'QUEUE_FULL' });
    clock.advance(1_000);
    await settled();
    expect(deliveries[1]?.message.id).toBe('a');
  });
});

describe('order by key', () => {
  test('later messages of a key wait through the retry of an earlier one, over all subscriptions', async () => {
    const clock = manualClock();
    const backend = new MemoryBackend({ clock });
    await backend.declareQueue('q');
    await backend.publishToQueue('q', [
      message('a1', 'a'),
      message('a2', 'a'),
      message('b1', 'b'),
      message('none'),
    ]);
    const deliveries = await receiving(backend, 'q', 1);
    const others = await receiving(backend, 'q', 10);
    await settled();
    const all = [...deliveries, ...others];
    expect(all.map(({ message: { id } }) => id).sort()).toEqual(['a1', 'b1', 'none']);
    await all.find(({ message: { id } }) => id === 'a1')?.retry({ delayMs: 100 });
    await settled();
    expect(deliveries.length + others.length).toBe(3);
    clock.advance(100);
    await settled();
    const again = [...deliveries, ...others].find(({ attempt }) => attempt === 2);
    expect(again?.message.id).toBe('a1');
    await again?.acknowledge();
    await settled();
    expect([...deliveries, ...others].some(({ message: { id } }) => id === 'a2')).toBe(true);
  });
});

test('released messages come back in their old places, whatever the order of their release', async () => {
  const backend = new MemoryBackend();
  await backend.declareQueue('q');
  await backend.publishToQueue(
    'q',
    ['1', '2', '3', '4', '5'].map((id) => message(id)),
  );
  const deliveries: Delivery[] = [];
  const first = await backend.subscribe('q', { maxInFlight: 3 }, (delivery) => deliveries.push(delivery));
  await settled();
  const closed = first.close();
  for (const index of [1, 2, 0]) await deliveries[index]?.release();
  await closed;
  const again = await receiving(backend, 'q');
  await settled();
  expect(again.map(({ message: { id }, attempt }) => `${id}/${attempt}`)).toEqual([
    '1/1',
    '2/1',
    '3/1',
    '4/1',
    '5/1',
  ]);
});

test('depth does not slow it down: a hundred thousand messages pass, in order', async () => {
  const backend = new MemoryBackend();
  await backend.declareQueue('q');
  const count = 100_000;
  await backend.publishToQueue(
    'q',
    Array.from({ length: count }, (_, index) => message(String(index))),
  );
  let next = 0;
  let inOrder = true;
  const subscription = await backend.subscribe('q', { maxInFlight: 100, untilEmpty: true }, (delivery) => {
    inOrder &&= delivery.message.id === String(next);
    next += 1;
    void delivery.acknowledge();
  });
  await subscription.ended;
  expect([next, inOrder]).toEqual([count, true]);
});
