import type { MemoryBackend } from '@melange/backend-memory';
import { type Clock, type MessagingBackend, silentLogger, systemClock } from '@melange/core';
import { describe, expect, it } from 'vitest';
import { DeadLetters, type RedriveOptions } from '../src/index.ts';
import { drain, fail, memory, message, queues, unbrowsable } from './support/scene.ts';

async function scene(count: number): Promise<{
  backend: MemoryBackend;
  letters: DeadLetters;
  queue: string;
  dead: string;
}> {
  const backend = memory();
  const { queue, dead } = await queues(backend);
  await fail(
    backend,
    queue,
    Array.from({ length: count }, (_, n) => ({ id: `${n}` })),
  );
  return { backend, letters: new DeadLetters({ backend, logger: silentLogger }), queue, dead };
}

/** A clock that goes from timer to timer, after real time enough for what the memory backend does meanwhile. */
function rushing(): Clock & { readonly waited: number[] } {
  const waited: number[] = [];
  const timers = new Set<{ readonly at: number; readonly delayMs: number; readonly callback: () => void }>();
  let now = 0;
  const fireNext = (): void => {
    const [next] = [...timers].sort((one, other) => one.at - other.at);
    if (next === undefined) return;
    timers.delete(next);
    now = next.at;
    waited.push(next.delayMs);
    next.callback();
  };
  return {
    waited,
    now: () => systemClock.now(),
    monotonicNow: () => now,
    schedule(callback, delayMs) {
      const timer = { at: now + delayMs, delayMs, callback };
      timers.add(timer);
      setTimeout(fireNext, 20);
      return () => void timers.delete(timer);
    },
  };
}

const depth = async (backend: MessagingBackend, queue: string): Promise<number> =>
  (await backend.describeQueue(queue)).depth;

describe('a redrive', () => {
  it('keeps the order of the letters, and of those that stay', async () => {
    const { backend, letters, queue, dead } = await scene(300);
    const even = Array.from({ length: 150 }, (_, n) => `${2 * n}`);
    await letters.redrive(dead, { filter: { ids: even } });
    expect((await drain(backend, queue, 150)).map(({ id }) => id)).toEqual(even);
    const left = await letters.list(dead, { limit: 1_000 });
    expect(left.letters.map(({ message: { id } }) => Number(id) % 2)).toEqual(Array(150).fill(1));
    expect(left.letters.map(({ message: { id } }) => Number(id))).toEqual(
      left.letters.map(({ message: { id } }) => Number(id)).sort((one, other) => one - other),
    );
  });

  it('is no faster than it may be', async () => {
    const { backend, queue, dead } = await scene(11);
    const clock = rushing();
    const letters = new DeadLetters({ backend, clock });
    await letters.redrive(dead, { maxPerSecond: 5 });
    expect(await depth(backend, queue)).toBe(11);
    // The first goes at once; those after it wait for 200 ms each.
    expect(clock.waited.filter((ms) => ms <= 200).reduce((sum, ms) => sum + ms, 0)).toBeCloseTo(2_000);
  });

  it('tells how far it is', async () => {
    const { letters, dead } = await scene(3);
    const seen: number[] = [];
    await letters.redrive(dead, { onProgress: ({ moved }) => seen.push(moved) });
    expect(seen).toEqual([1, 2, 3]);
  });

  it('leaves each message in one place when it is ended in the middle', async () => {
    const { backend, letters, queue, dead } = await scene(50);
    const ending = new AbortController();
    const result = await letters.redrive(dead, {
      signal: ending.signal,
      onProgress: ({ moved }) => moved === 10 && ending.abort(),
    });
    expect(result).toMatchObject({ stopped: 'aborted', isComplete: false });
    expect(result.moved).toBeGreaterThanOrEqual(10);
    expect(await depth(backend, queue)).toBe(result.moved);
    expect(await depth(backend, dead)).toBe(50 - result.moved);
    // And goes on where it was.
    expect(await letters.redrive(dead, { until: result.until })).toMatchObject({ moved: 50 - result.moved });
    const ids = (await drain(backend, queue, 50)).map(({ id }) => id);
    expect(new Set(ids).size).toBe(50);
  });

  it('does nothing when it is ended before it began', async () => {
    const { backend, letters, dead } = await scene(2);
    expect(await letters.redrive(dead, { signal: AbortSignal.abort() })).toMatchObject({
      moved: 0,
      stopped: 'aborted',
    });
    expect(await depth(backend, dead)).toBe(2);
  });

  it('keeps and names a letter whose queue is gone, and goes on', async () => {
    const { backend, letters, queue, dead } = await scene(1);
    const other = await queues(backend);
    await backend.publishToQueue(dead, [message('foreign')]);
    await fail(backend, other.queue, [{ id: 'gone' }]);
    await letters.import(dead, [
      JSON.stringify((await letters.list(other.dead)).letters[0]?.message).replace('"content"', '"text"'),
    ]);
    await backend.deleteQueue(other.queue);
    const result = await letters.redrive(dead);
    expect(result).toMatchObject({ matched: 3, moved: 1, failed: 2, isComplete: true });
    expect(result.failures).toMatchObject([
      { messageId: 'foreign', state: 'not-moved', error: { code: 'CONFIGURATION' } },
      { messageId: 'gone', state: 'not-moved', error: { code: 'QUEUE_NOT_FOUND' } },
    ]);
    expect(await depth(backend, dead)).toBe(2);
    expect(await letters.redrive(dead, { to: queue })).toMatchObject({ moved: 2 });
    expect(await depth(backend, queue)).toBe(3);
  });

  it('says that a message may be in both queues when its removal failed', async () => {
    const { backend, queue, dead } = await scene(1);
    const failing = new Proxy(backend, {
      get(target, property) {
        const value = Reflect.get(target, property, target) as unknown;
        if (typeof value !== 'function') return value;
        if (property !== 'subscribe') return value.bind(target) as unknown;
        const subscribe: MessagingBackend['subscribe'] = (name, options, receive) =>
          target.subscribe(name, options, (delivery) =>
            receive(
              name === dead
                ? {
                    message: delivery.message,
                    attempt: delivery.attempt,
                    signal: delivery.signal,
                    acknowledge: () => Promise.reject(new Error('connection lost')),
                    retry: (how) => delivery.retry(how),
                    deadLetter: (how) => delivery.deadLetter(how),
                    release: () => delivery.release(),
                  }
                : delivery,
            ),
          );
        return subscribe;
      },
    });
    const result = await new DeadLetters({ backend: failing, logger: silentLogger }).redrive(dead);
    expect(result.failures).toMatchObject([{ messageId: '0', state: 'perhaps-in-both' }]);
    expect(await depth(backend, queue)).toBe(1);
    expect(await depth(backend, dead)).toBe(1);
  });

  it.each([undefined, { first: 1, patienceMs: 100 }])(
    'removes what it moved when the broker hands it out again, having heard of no acknowledgement (canary %o)',
    async (canary) => {
      const { backend, queue, dead } = await scene(5);
      let isLost = false;
      const deaf = new Proxy(backend, {
        get(target, name) {
          const value: unknown = Reflect.get(target, name, target);
          if (name !== 'subscribe') return typeof value === 'function' ? value.bind(target) : value;
          const subscribe: MessagingBackend['subscribe'] = (from, options, receive) =>
            target.subscribe(from, options, (delivery) => {
              if (isLost || from !== dead || delivery.message.id !== '0') return receive(delivery);
              isLost = true;
              receive({
                message: delivery.message,
                attempt: 1,
                signal: delivery.signal,
                acknowledge: () => delivery.release(),
                retry: () => delivery.retry(),
                deadLetter: (how) => delivery.deadLetter(how),
                release: () => delivery.release(),
              });
            });
          return subscribe;
        },
      });
      const letters = new DeadLetters({ backend: deaf, logger: silentLogger });
      const result = await letters.redrive(dead, canary === undefined ? {} : { canary });
      expect(result).toMatchObject({ moved: 5, failed: 0, stopped: undefined });
      expect(await depth(backend, dead)).toBe(0);
      expect(await depth(backend, queue)).toBe(5);
    },
  );

  it('sees no further than it may hold, and says so', async () => {
    const { backend, dead } = await scene(30);
    const letters = new DeadLetters({ backend: unbrowsable(backend), maxHeld: 10 });
    expect(await letters.redrive(dead, { filter: { ids: ['29'] } })).toMatchObject({
      moved: 0,
      isComplete: false,
    });
    expect(await letters.summarize(dead)).toMatchObject({ count: 10, isComplete: false });
    // What is moved makes room.
    expect(await letters.redrive(dead)).toMatchObject({ moved: 30, isComplete: true });
  });

  it.each<[string, RedriveOptions]>([
    ['maxPerSecond', { maxPerSecond: 0 }],
    ['maxPerSecond', { maxPerSecond: Number.NaN }],
    ['maxPerSecond', { maxPerSecond: Number.POSITIVE_INFINITY }],
    ['canary.first', { canary: { first: 0 } }],
    ['canary.first', { canary: { first: 1.5 } }],
    ['canary.patienceMs', { canary: { first: 1, patienceMs: -1 } }],
    ['until', { until: new Date(Number.NaN) }],
    ['to', { to: '' }],
    ['from', { filter: { from: new Date(Number.NaN) } }],
    ['text', { filter: { text: '' } }],
  ])('refuses a senseless "%s" and moves nothing', async (name, options) => {
    const { backend, letters, dead } = await scene(1);
    const error = await letters.redrive(dead, options).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'CONFIGURATION', message: expect.stringContaining(`"${name}"`) });
    expect(await depth(backend, dead)).toBe(1);
  });

  it('of a queue that does not exist is refused', async () => {
    const { letters } = await scene(0);
    await expect(letters.redrive('no-such-queue')).rejects.toMatchObject({ code: 'QUEUE_NOT_FOUND' });
    await expect(letters.list('no-such-queue')).rejects.toMatchObject({ code: 'QUEUE_NOT_FOUND' });
  });
});

describe('a canary', () => {
  it('that fails again ends the redrive: the others stay', async () => {
    const { backend, letters, queue, dead } = await scene(20);
    const subscription = await backend.subscribe(queue, { maxInFlight: 10 }, (delivery) => {
      void delivery.deadLetter({ reason: 'rejected' });
    });
    const result = await letters.redrive(dead, { canary: { first: 2, patienceMs: 60_000 } });
    await subscription.close();
    expect(result).toMatchObject({ moved: 2, stopped: 'canary failed', isComplete: false });
    expect(await depth(backend, dead)).toBe(20);
  });

  it('that does not come back while it could lets the others go', async () => {
    const { backend, queue, dead } = await scene(5);
    const clock = rushing();
    const letters = new DeadLetters({ backend, clock });
    expect(await letters.redrive(dead, { canary: { first: 1 } })).toMatchObject({
      moved: 5,
      stopped: undefined,
    });
    expect(clock.waited).toContain(300_000);
    expect(await depth(backend, queue)).toBe(5);
  });

  it('is asked for where the application knows, and the others wait for it', async () => {
    const { backend, queue, dead } = await scene(5);
    const letters = new DeadLetters({ backend, clock: rushing() });
    const depths: number[] = [];
    const result = await letters.redrive(dead, {
      canary: {
        first: 2,
        wasProcessed: async () => depths.push(await depth(backend, queue)) > 3,
      },
    });
    expect(depths.slice(0, 4)).toEqual([2, 2, 2, 2]);
    expect(result).toMatchObject({ moved: 5, stopped: undefined });
  });

  it('that was not processed in time ends the redrive', async () => {
    const { backend, dead } = await scene(5);
    const letters = new DeadLetters({ backend, clock: rushing() });
    const result = await letters.redrive(dead, {
      canary: { first: 1, wasProcessed: () => false, patienceMs: 5_000 },
    });
    expect(result).toMatchObject({ moved: 1, stopped: 'canary not processed' });
    expect(await depth(backend, dead)).toBe(4);
  });

  it('that cannot be moved ends the redrive', async () => {
    const { backend, letters, queue, dead } = await scene(3);
    await backend.deleteQueue(queue);
    expect(await letters.redrive(dead, { canary: { first: 1 } })).toMatchObject({
      moved: 0,
      failed: 1,
      stopped: 'canary failed',
    });
    expect(await depth(backend, dead)).toBe(3);
  });
});
