import type { Delivery, MessageDispatcher, MessageDispatcherOptions } from '@melange/core';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { settled } from './support/manual-clock.ts';
import { gate, type Process, Scene } from './support/scene.ts';

let scene: Scene;
beforeEach(async () => {
  scene = await Scene.open();
});
afterEach(() => scene.close());

/** As RabbitMQ does it: keys mean nothing to the broker, and what is retried comes back behind all others. */
function keyless(
  keyOf: (n: number) => string,
  otherwise: (delivery: Delivery) => Partial<Delivery> = () => ({}),
) {
  return scene.withDeliveries((delivery) => ({
    message: { ...delivery.message, key: keyOf(numberOf(delivery)) },
    ...otherwise(delivery),
  }));
}

const numberOf = ({ message }: Delivery): number => JSON.parse(String(message.content)).n as number;

interface Started {
  readonly dispatcher: MessageDispatcher;
  stop(): Promise<void>;
}

function start(process: Process, options: Partial<MessageDispatcherOptions>): Started {
  const dispatcher = scene.dispatcher(process, { ordering: 'key', ...options });
  const running = dispatcher.consumeLoop('orders');
  return {
    dispatcher,
    stop: async () => {
      await dispatcher.close();
      await running;
    },
  };
}

/** Retries for ever, every second. */
const retry = { maxAttempts: Number.POSITIVE_INFINITY, longestDelayMs: 1_000, delayMs: () => 1_000 };
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => from + index);

describe("with ordering 'key' a key in trouble holds up its own messages only", () => {
  test.each([40, 300])('%d messages of it, 100 of other keys', async (inTrouble) => {
    let broken = true;
    const others: number[] = [];
    const own: number[] = [];
    const backend = keyless((n) => (n < inTrouble ? 'bad' : `good-${n}`));
    await scene.publish(inTrouble + 100);
    const { stop } = start(
      ({ n }, { key }) => {
        if (key !== 'bad') others.push(n);
        else if (broken) throw new Error('declined');
        else own.push(n);
      },
      { backend, retry },
    );
    await settled();
    await scene.clock.advance(5_000);
    expect(others).toEqual(range(inTrouble, inTrouble + 100));
    expect(own).toEqual([]);
    await scene.clock.advance(60_000);
    broken = false;
    await scene.clock.advance(140_000);
    expect(own).toEqual(range(0, inTrouble));
    await stop();
    expect(await scene.depth()).toBe(0);
  });

  test('100 keys in trouble at once', async () => {
    const others: number[] = [];
    const backend = keyless((n) => `key-${n}`);
    await scene.publish(200);
    const { stop } = start(
      ({ n }) => {
        if (n < 100) throw new Error('declined');
        others.push(n);
      },
      { backend, retry },
    );
    await settled();
    await scene.clock.advance(5_000);
    expect(others.toSorted((left, right) => left - right)).toEqual(range(100, 200));
    await stop();
  });

  test('a handler that runs for long: what waits behind it makes room, and comes in its order', async () => {
    const { passed, open } = gate();
    const own: number[] = [];
    const others: number[] = [];
    const backend = keyless((n) => (n < 60 ? 'slow' : `good-${n}`));
    await scene.publish(160);
    const { stop, dispatcher } = start(
      async ({ n }) => {
        if (n === 0) await passed;
        (n < 60 ? own : others).push(n);
      },
      { backend, retry },
    );
    await settled();
    await scene.clock.advance(5_000);
    expect(others).toEqual(range(60, 160));
    expect(own).toEqual([]);
    await scene.clock.advance(120_000);
    open();
    await scene.clock.advance(20_000);
    expect(own).toEqual(range(0, 60));
    expect(dispatcher.counters.acknowledged).toBe(160);
    await stop();
  });

  test('what is published meanwhile stays behind what is parked', async () => {
    let broken = true;
    const own: number[] = [];
    const backend = keyless(() => 'bad');
    await scene.publish(60);
    const { stop } = start(
      ({ n }) => {
        if (broken) throw new Error('declined');
        own.push(n);
      },
      { backend, retry },
    );
    await settled();
    await scene.clock.advance(1_300);
    for (const n of range(60, 90)) await scene.publisher.publish('orders', { n });
    broken = false;
    await scene.clock.advance(20_000);
    expect(own).toEqual(range(0, 90));
    await stop();
  });

  test('the order holds whatever order the broker gives them back in', async () => {
    let broken = true;
    let seed = 1;
    const random = () => {
      seed = (seed * 48_271) % 2_147_483_647;
      return seed / 2_147_483_647;
    };
    const own: number[] = [];
    const backend = keyless(
      () => 'bad',
      (delivery) => ({
        retry: ({ delayMs = 0, ...rest } = {}) =>
          delivery.retry({ delayMs: delayMs + random() * 300, ...rest }),
      }),
    );
    await scene.publish(200);
    const { stop } = start(
      ({ n }) => {
        if (broken) throw new Error('declined');
        own.push(n);
      },
      { backend, retry },
    );
    await settled();
    await scene.clock.advance(5_000);
    broken = false;
    await scene.clock.advance(120_000);
    expect(own).toEqual(range(0, 200));
    await stop();
  });
});

test('attempts made here are not forgotten when the message is parked: its last one dead-letters it', async () => {
  const attempts: number[] = [];
  const others = new Set<number>();
  const backend = keyless(() => 'bad');
  await scene.publish(60);
  const policy = { maxAttempts: 7, longestDelayMs: 700, delayMs: (attempt: number) => attempt * 100 };
  const { stop, dispatcher } = start(
    ({ n }, { attempt }) => {
      if (n > 0) {
        others.add(attempt);
        return;
      }
      attempts.push(attempt);
      throw new Error('declined');
    },
    { backend, retry: policy },
  );
  await settled();
  await scene.clock.advance(30_000);
  expect(attempts).toEqual([1, 2, 3, 4, 5, 6, 7]);
  // Those that waited behind it did not run.
  expect([...others]).toEqual([1]);
  expect(dispatcher.counters).toMatchObject({ deadLettered: 1, acknowledged: 59 });
  await stop();
});

test('what another process took is not waited for for ever', async () => {
  let broken = true;
  let taking = true;
  const own: number[] = [];
  const backend = keyless(
    () => 'bad',
    (delivery) => ({
      retry: async (options) => {
        // The broker gives it to somebody else when it is due.
        if (taking && numberOf(delivery) % 2 === 1) await delivery.acknowledge();
        else await delivery.retry(options);
      },
    }),
  );
  await scene.publish(60);
  const { stop } = start(
    ({ n }) => {
      if (broken) throw new Error('declined');
      own.push(n);
    },
    { backend, retry },
  );
  await settled();
  await scene.clock.advance(800);
  taking = false;
  broken = false;
  await scene.clock.advance(60_000);
  expect(own).toEqual(range(0, 60).filter((n) => n % 2 === 0));
  expect(await scene.depth()).toBe(0);
  await stop();
});

test('what was lost to a reconnect comes again in its order, though its key was parked', async () => {
  let broken = true;
  const own: number[] = [];
  const open = new Set<() => void>();
  const backend = keyless(
    () => 'bad',
    (delivery) => {
      const lost = new AbortController();
      let isOver = false;
      const lose = () => {
        isOver = true;
        open.delete(lose);
        lost.abort();
        void delivery.release();
      };
      open.add(lose);
      const unlessLost =
        <Options>(settle: (options?: Options) => unknown) =>
        async (options?: Options) => {
          if (isOver) return;
          open.delete(lose);
          await settle(options);
        };
      return {
        signal: lost.signal,
        acknowledge: unlessLost(() => delivery.acknowledge()),
        retry: unlessLost((options) => delivery.retry(options as object)),
        release: unlessLost(() => delivery.release()),
      };
    },
  );
  await scene.publish(60);
  const { stop, dispatcher } = start(
    ({ n }) => {
      if (broken) throw new Error('declined');
      own.push(n);
    },
    { backend, retry: { ...retry, delayMs: () => 400 } },
  );
  await settled();
  for (let cut = 0; cut < 40; cut += 1) {
    await scene.clock.advance(130);
    for (const lose of [...open]) lose();
  }
  broken = false;
  await scene.clock.advance(60_000);
  expect(own).toEqual(range(0, 60));
  expect(await scene.depth()).toBe(0);
  await stop();
  expect(dispatcher.counters.acknowledged).toBe(60);
});

test('stopping gives back what is at hand of a parked key', async () => {
  const backend = keyless(() => 'bad');
  await scene.publish(100);
  const { stop } = start(
    () => {
      throw new Error('declined');
    },
    { backend, retry },
  );
  await settled();
  await scene.clock.advance(1_600);
  await stop();
  // Each message that the broker delays has a timer there; nothing else is left.
  expect(scene.clock.pending).toBe(100 - (await scene.depth()));
  await scene.clock.advance(70_000);
  expect(await scene.depth()).toBe(100);
});

test('keys that are busy but go on are not parked: each message is handed out once', async () => {
  const backend = keyless((n) => `key-${n % 2}`);
  const waits: (() => void)[] = [];
  await scene.publish(400);
  const { stop, dispatcher } = start(
    () =>
      new Promise<void>((resolve) => {
        scene.clock.schedule(resolve, 100);
        waits.push(resolve);
      }),
    { backend },
  );
  await settled();
  await scene.clock.advance(21_000);
  expect(dispatcher.counters).toMatchObject({ received: 400, acknowledged: 400 });
  await stop();
});

test('health tells of keys that stand still: at once in its loops, and as degraded after 30 s', async () => {
  let broken = true;
  await scene.publish(3, (n) => (n < 2 ? 'bad' : 'good'));
  const { stop, dispatcher } = start(
    (_, { key }) => {
      if (key === 'bad' && broken) throw new Error('declined');
    },
    { retry },
  );
  await settled();
  const standing = { keys: 1, key: 'bad', forMs: 0, parked: 0 };
  expect(await dispatcher.health()).toMatchObject({ status: 'healthy', loops: [{ standing }] });
  await scene.clock.advance(29_999);
  expect(await dispatcher.health()).toMatchObject({ status: 'healthy' });
  await scene.clock.advance(1);
  expect(await dispatcher.health()).toMatchObject({
    status: 'degraded',
    detail: 'queue "orders": key "bad" stands still for 30 s, 0 messages are parked',
  });
  broken = false;
  await scene.clock.advance(1_000);
  expect(await dispatcher.health()).toEqual({ status: 'healthy', loops: [{ queue: 'orders', inFlight: 0 }] });
  await stop();
});

test('health forgets a key whose message another process took', async () => {
  await scene.publish(80, (n) => `key-${n}`);
  const { stop, dispatcher } = start(
    () => {
      throw new Error('declined');
    },
    { retry },
  );
  await settled();
  await scene.clock.advance(900);
  expect(await dispatcher.health()).toMatchObject({ loops: [{ standing: { keys: 80 } }] });
  const other = scene.dispatcher(() => undefined, { concurrency: 200 });
  const taking = other.consumeLoop('orders');
  await scene.clock.advance(3_000);
  await scene.clock.advance(125_000);
  expect(await scene.depth()).toBe(0);
  // Those whose first message is at hand still stand.
  const { loops } = await dispatcher.health();
  expect(loops[0]?.standing?.keys).toBe(loops[0]?.inFlight);
  expect(loops[0]?.inFlight).toBeLessThan(40);
  await stop();
  await other.close();
  await taking;
});
