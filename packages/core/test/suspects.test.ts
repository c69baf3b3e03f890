import { MemoryBackend } from '@melange/backend-memory';
import { QueuePublisher, silentLogger } from '@melange/core';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { settled } from './support/manual-clock.ts';
import { gate, Scene } from './support/scene.ts';
import { serializers } from './support/text-serializer.ts';

describe('suspects', () => {
  let scene: Scene;
  beforeEach(async () => {
    scene = await Scene.open();
  });
  afterEach(() => scene.close());

  /** A backend that tells of so many redeliveries of each message. */
  const told = (redeliveries: (n: number) => number) =>
    scene.withDeliveries(({ message }) => ({
      redeliveries: redeliveries((JSON.parse(String(message.content)) as { n: number }).n),
    }));

  async function started(
    redeliveries: (n: number) => number,
    options: {
      ordering?: 'key';
      keys?: (n: number) => string;
      count?: number;
      maxRedeliveries?: number;
      concurrency?: number;
      random?: () => number;
    } = {},
  ) {
    const { keys, count = 4, ...rest } = options;
    await scene.publish(count, keys);
    const gates = Array.from({ length: count }, () => gate());
    const running: number[] = [];
    const stop = new AbortController();
    const loop = scene
      .dispatcher(
        async ({ n }) => {
          running.push(n);
          await gates[n]?.passed;
        },
        { backend: told(redeliveries), ...rest },
      )
      .consumeLoop('orders', { signal: stop.signal, deadlineMs: 0 });
    await settled();
    const finish = async (n: number) => {
      gates[n]?.open();
      await settled();
    };
    const end = async () => {
      stop.abort();
      await settled();
      await scene.clock.advance(1);
      await loop;
    };
    return { running, finish, end };
  }

  test('run one at a time, from the third redelivery on, and hold up nobody else', async () => {
    const { running, finish, end } = await started((n) => (n < 2 ? 3 : 2));
    expect(running).toEqual([2, 3]);
    await scene.clock.advance(199);
    expect(running).toEqual([2, 3]);
    await scene.clock.advance(1);
    expect(running).toEqual([2, 3, 0]);
    await scene.clock.advance(10_000);
    expect(running).toEqual([2, 3, 0]);
    await finish(0);
    expect(running).toEqual([2, 3, 0, 1]);
    await end();
  });

  test('the least suspected comes first', async () => {
    const { running, finish, end } = await started((n) => [9, 5, 9, 5][n] ?? 0);
    await scene.clock.advance(200);
    for (const n of [1, 3, 0, 2]) await finish(n);
    expect(running).toEqual([1, 3, 0, 2]);
    await end();
  });

  test('equals come by chance, not in the order in which they arrived', async () => {
    const { running, finish, end } = await started(() => 3, { random: () => 0.99 });
    await scene.clock.advance(200);
    for (const n of [3, 2, 1, 0]) await finish(n);
    expect(running).toEqual([3, 2, 1, 0]);
    await end();
  });

  test('with keys in order too, none passing its own key', async () => {
    const { running, finish, end } = await started((n) => (n % 2 === 0 ? 3 : 0), {
      ordering: 'key',
      keys: (n) => (n < 2 ? 'a' : 'b'),
    });
    expect(running).toEqual([]);
    await scene.clock.advance(200);
    expect(running).toEqual([0]);
    await finish(0);
    expect(running).toEqual([0, 2, 1]);
    await finish(2);
    expect(running).toEqual([0, 2, 1, 3]);
    await end();
  });

  test.each(['with keys', 'without'])(
    'that wait for their turn go back when consumption stops, %s',
    async (kind) => {
      const { end } = await started(() => 3, kind === 'without' ? {} : { ordering: 'key', keys: String });
      await end();
      expect(await scene.depth()).toBe(4);
      expect(scene.clock.pending).toBe(0);
    },
  );

  test('beyond maxRedeliveries do not run, and wait for nobody', async () => {
    const { running, end } = await started(() => 5, { maxRedeliveries: 4 });
    expect(running).toEqual([]);
    expect(await scene.depth('dead')).toBe(4);
    await end();
  });

  test('a suspect that fails makes room for the next one while it waits for its retry', async () => {
    await scene.publish(2, (n) => `${n}`);
    const runs: number[] = [];
    const stop = new AbortController();
    const loop = scene
      .dispatcher(
        ({ n }) => {
          runs.push(n);
          if (runs.length < 3) throw new Error('declined');
        },
        { backend: told(() => 3), ordering: 'key' },
      )
      .consumeLoop('orders', { signal: stop.signal });
    await settled();
    await scene.clock.advance(200);
    expect(runs).toEqual([0, 1]);
    // They ran to an end: they are under suspicion no more.
    await scene.clock.advance(100);
    expect(runs).toHaveLength(4);
    stop.abort();
    await loop;
  });

  describe('of half of the redeliveries that are allowed', () => {
    test('run alone: when nothing else runs, with nothing else started, and the other such ones sent back', async () => {
      const { running, finish, end } = await started((n) => [0, 0, 10, 10, 3, 0][n] ?? 0, {
        count: 6,
        concurrency: 4,
      });
      expect(running).toEqual([0, 1]);
      await scene.clock.advance(200);
      await finish(0);
      await scene.clock.advance(10_000);
      expect(running).toEqual([0, 1]);
      await finish(1);
      // By chance the first one. The other one is with the broker, and comes again in vain as long as this one runs.
      expect(running).toEqual([0, 1, 2]);
      await scene.clock.advance(3_500);
      expect(running).toEqual([0, 1, 2]);
      await finish(2);
      expect(running).toEqual([0, 1, 2, 5]);
      await scene.clock.advance(200);
      await finish(5);
      expect(running).toEqual([0, 1, 2, 5, 4]);
      await finish(4);
      await scene.clock.advance(1_000);
      expect(running).toEqual([0, 1, 2, 5, 4, 3]);
      await end();
    });

    test('nothing starts beside one, and it goes first', async () => {
      const { running, finish, end } = await started((n) => [10, 0, 9][n] ?? 0, { count: 3, concurrency: 1 });
      expect(running).toEqual([]);
      await scene.clock.advance(200);
      expect(running).toEqual([0]);
      await scene.clock.advance(10_000);
      await finish(0);
      expect(running).toEqual([0, 1]);
      await end();
    });

    test.each([false, true])('they go back when consumption stops, chosen: %s', async (isChosen) => {
      const { running, end } = await started((n) => (n === 0 ? 0 : 10), { count: 4 });
      if (isChosen) await scene.clock.advance(200);
      expect(running).toEqual([0]);
      await end();
      expect(scene.clock.pending).toBe(0);
      expect(await scene.depth()).toBe(4);
    });

    test('one that is chosen goes back when consumption stops before the broker has the others', async () => {
      await scene.publish(2);
      const confirmed = gate();
      const backend = scene.withDeliveries((delivery) => ({
        redeliveries: 10,
        retry: async (how) => {
          await confirmed.passed;
          return delivery.retry(how);
        },
      }));
      const stop = new AbortController();
      const runs: number[] = [];
      const loop = scene
        .dispatcher(({ n }) => void runs.push(n), { backend })
        .consumeLoop('orders', { signal: stop.signal, deadlineMs: 100 });
      await settled();
      await scene.clock.advance(200);
      stop.abort();
      await settled();
      confirmed.open();
      await settled();
      await loop;
      expect(runs).toEqual([]);
      await scene.clock.advance(1_000);
      expect(await scene.depth()).toBe(2);
    });

    test('stay at hand where the broker would count that they were sent back', async () => {
      await scene.publish(3);
      const retries: unknown[] = [];
      const backend = Object.create(
        scene.withDeliveries(() => ({ redeliveries: 10, retry: async (how) => void retries.push(how) })),
        { capabilities: { value: { ...scene.backend.capabilities, releaseKeepsAttempt: false } } },
      ) as typeof scene.backend;
      const stop = new AbortController();
      const runs: number[] = [];
      const loop = scene
        .dispatcher(({ n }) => void runs.push(n), { backend })
        .consumeLoop('orders', { signal: stop.signal });
      await settled();
      await scene.clock.advance(200);
      expect(runs.sort()).toEqual([0, 1, 2]);
      expect(retries).toEqual([]);
      stop.abort();
      await loop;
    });
  });

  test('a connection that breaks again and again under a handler that finishes is no crash', async () => {
    const backend = new MemoryBackend({ clock: scene.clock, leaseMs: 100, logger: silentLogger });
    await backend.declareQueue('orders', { deadLetterQueue: 'dead' });
    await new QueuePublisher({ backend, serializers, clock: scene.clock }).publish('orders', { n: 0 });
    const runs: number[] = [];
    const finishing: (() => void)[] = [];
    const dispatcher = scene.dispatcher(
      () => {
        runs.push(runs.length);
        return new Promise<void>((resolve) => void finishing.push(resolve));
      },
      { backend, maxRedeliveries: 3, concurrency: 1 },
    );
    const stop = new AbortController();
    const loop = dispatcher.consumeLoop('orders', { signal: stop.signal, deadlineMs: 0 });
    for (let round = 0; round < 12; round += 1) {
      await settled();
      // Its lease ends, it comes again, and only then does its handler finish.
      await scene.clock.advance(100);
      finishing.shift()?.();
      await settled();
    }
    expect(runs.length).toBeGreaterThan(10);
    expect((await backend.describeQueue('dead')).depth).toBe(0);
    stop.abort();
    await scene.clock.advance(200);
    await loop;
    await backend.close();
  });

  test('a number of redeliveries that makes no sense is refused', () => {
    for (const maxRedeliveries of [-1, 1.5, Number.NaN])
      expect(() => scene.dispatcher(() => undefined, { maxRedeliveries })).toThrow(/maxRedeliveries/);
  });
});
