import { MemoryBackend } from '@melange/backend-memory';
import {
  type Consumer,
  type Delivery,
  MessageDispatcher,
  QueuePublisher,
  type SubscribeOptions,
  silentLogger,
} from '@melange/core';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ManualClock, settled } from './support/manual-clock.ts';
import { gate, Scene } from './support/scene.ts';
import { serializers } from './support/text-serializer.ts';

/** Numbers that look random, the same in every run. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}

/**
 * A worker that the message 0 ends, restarted each time: its deliveries are never settled, and the broker hands them out
 * again when their leases end.
 */
async function supervised(random: () => number, options: { count: number; maxRedeliveries?: number }) {
  const clock = new ManualClock();
  const backend = new MemoryBackend({ clock, leaseMs: 10_000, logger: silentLogger });
  await backend.declareQueue('orders', { deadLetterQueue: 'dead' });
  await new QueuePublisher({ backend, serializers, clock }).publishBatch(
    'orders',
    Array.from({ length: options.count }, (_, n) => ({ value: { n } })),
  );
  const done = new Map<number, number>();
  let crashes = 0;
  for (; crashes < 100 && (await left(backend)) > 0; crashes += 1) {
    let isDead = false;
    // Of a process that has ended the broker hears nothing more.
    const dying = Object.create(backend, {
      describeQueue: { value: (name: string) => backend.describeQueue(name) },
      subscribe: {
        value: (queue: string, settings: SubscribeOptions, receive: (delivery: Delivery) => void) =>
          backend.subscribe(queue, settings, (delivery) => {
            const release = delivery.release.bind(delivery);
            receive(Object.assign(delivery, { release: async () => (isDead ? undefined : release()) }));
          }),
      },
    }) as MemoryBackend;
    const never = new Promise<void>(() => undefined);
    const worker: Consumer = {
      name: 'worker',
      accepts: () => true,
      process: async (value) => {
        const { n } = value as { n: number };
        if (n === 0) isDead = true;
        // So that a crash finds some of its messages at work.
        for (let turn = 0; turn < 3; turn += 1) await settled();
        if (isDead) return never;
        done.set(n, (done.get(n) ?? 0) + 1);
      },
    };
    const dispatcher = new MessageDispatcher({
      backend: dying,
      serializers,
      clock,
      random,
      logger: silentLogger,
      concurrency: 4,
      ...(options.maxRedeliveries !== undefined && { maxRedeliveries: options.maxRedeliveries }),
    });
    dispatcher.attachConsumer(worker);
    const stop = new AbortController();
    // Ends when the leases of what it left have ended: they are lost to it then.
    const running = dispatcher.consumeLoop('orders', { signal: stop.signal, deadlineMs: 10_000 });
    for (let step = 0; step < 40 && !isDead; step += 1) await clock.advance(100);
    stop.abort();
    await settled();
    await clock.advance(20_000);
    await running;
  }
  const dead = await backend.describeQueue('dead');
  const reasons: string[] = [];
  const subscription = await backend.subscribe('dead', { maxInFlight: 100 }, ({ message }: Delivery) => {
    reasons.push(`${message.content} ${message.headers.melange_reason}`);
  });
  await settled();
  void subscription;
  await backend.close();
  return { done, dead: dead.depth, reasons, crashes };
}

async function left(backend: MemoryBackend): Promise<number> {
  return (await backend.describeQueue('orders')).depth;
}

describe('a message that ends its process', () => {
  test.each([7, 11, 13])(
    'goes to the dead-letter queue, and all others are processed (seed %i)',
    async (seed) => {
      const { done, reasons } = await supervised(generator(seed), { count: 30 });
      expect(reasons).toEqual(['{"n":0} crashed']);
      expect([...done.keys()].sort((left, right) => left - right)).toEqual(
        Array.from({ length: 29 }, (_, n) => n + 1),
      );
    },
  );

  test('ends it no oftener than maxRedeliveries says, plus once', async () => {
    const { reasons, crashes } = await supervised(generator(7), { count: 1, maxRedeliveries: 5 });
    expect(reasons).toEqual(['{"n":0} crashed']);
    // The last worker finds it out.
    expect(crashes).toBe(7);
  });
});

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
