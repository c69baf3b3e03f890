import { getEventListeners } from 'node:events';
import { SimpleMessageDispatcher } from '@melange/core';
import { MemoryDeduplicationCache } from '@melange/dedup-memory';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { settled } from './support/manual-clock.ts';
import { consumer, gate, Scene } from './support/scene.ts';

let scene: Scene;
beforeEach(async () => {
  scene = await Scene.open();
});
afterEach(() => scene.close());

test.each(['key', 'none'] as const)(
  "with ordering '%s' the attempt after a timeout has a signal that is not aborted",
  async (ordering) => {
    await scene.publish(1, () => 'a');
    const signals: AbortSignal[] = [];
    const timed = scene.dispatcher(
      (_, { signal }) => {
        signals.push(signal);
        if (signals.length > 1) return undefined;
        return new Promise((_, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason));
        });
      },
      { ordering, handlerTimeoutMs: 50 },
    );
    const running = timed.consumeLoop('orders');
    await settled();
    await scene.clock.advance(50);
    expect(signals.map(({ aborted }) => aborted)).toEqual([true]);
    await scene.clock.advance(100);
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, false]);
    expect(timed.counters).toMatchObject({ acknowledged: 1, deadLettered: 0 });
    await timed.close();
    await running;
  },
);

test('each consumer of a message has the time of handlerTimeoutMs, the one after a slow one too', async () => {
  await scene.publish(1);
  const seen: [string, boolean][] = [];
  const slow = consumer(
    (_, { signal }) =>
      new Promise((resolve) => {
        signal.addEventListener('abort', () => resolve(seen.push(['slow', true])));
      }),
    'slow',
  );
  const next = consumer(async (_, { signal }) => {
    seen.push(['next', signal.aborted]);
    await new Promise((resolve) => signal.addEventListener('abort', resolve));
    seen.push(['next', signal.aborted]);
  }, 'next');
  const timed = new SimpleMessageDispatcher(slow, { ...scene.options, handlerTimeoutMs: 50 });
  timed.attachConsumer(next);
  const running = timed.consumeLoop('orders');
  await settled();
  await scene.clock.advance(50);
  await scene.clock.advance(49);
  expect(seen).toEqual([
    ['slow', true],
    ['next', false],
  ]);
  await scene.clock.advance(1);
  expect(seen.at(-1)).toEqual(['next', true]);
  await timed.close();
  await running;
});

test('a handler past its timeout keeps its place until it settles', async () => {
  await scene.publish(2);
  const { passed, open } = gate();
  const seen: number[] = [];
  const deaf = scene.dispatcher(
    async ({ n }) => {
      seen.push(n);
      await passed;
    },
    { concurrency: 1, handlerTimeoutMs: 50 },
  );
  const running = deaf.consumeLoop('orders');
  await settled();
  await scene.clock.advance(10_000);
  expect(seen).toEqual([0]);
  expect(deaf.counters).toMatchObject({ acknowledged: 0, retried: 0 });
  open();
  await settled();
  expect(seen).toEqual([0, 1]);
  expect(deaf.counters).toMatchObject({ acknowledged: 2, retried: 0 });
  await deaf.close();
  await running;
});

test("one consumer's lost claim does not abort the next consumer's run, nor the first one's late look at its own", async () => {
  await scene.publish(1);
  const cache = new MemoryDeduplicationCache({ clock: scene.clock });
  const taken = Object.assign(Object.create(cache) as MemoryDeduplicationCache, {
    extend: (...[token, lease]: Parameters<MemoryDeduplicationCache['extend']>) =>
      token.key.includes('first') ? false : cache.extend(token, lease),
    claim: cache.claim.bind(cache),
    confirm: cache.confirm.bind(cache),
    release: cache.release.bind(cache),
  });
  const signals = new Map<string, AbortSignal>();
  const { passed, open } = gate();
  const first = consumer((_, { signal }) => {
    signals.set('first', signal);
    return new Promise((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason));
    });
  }, 'first');
  const second = consumer((_, { signal }) => {
    signals.set('second', signal);
    return passed;
  }, 'second');
  const both = new SimpleMessageDispatcher(first, {
    ...scene.options,
    cache: taken,
    deduplication: { leaseMs: 300 },
  });
  both.attachConsumer(second);
  const running = both.consumeLoop('orders');
  await settled();
  await scene.clock.advance(100);
  expect(signals.get('first')?.reason).toMatchObject({ reason: 'lease-lost' });
  expect(signals.get('second')?.aborted).toBe(false);
  await scene.clock.advance(200);
  expect(signals.get('second')?.aborted).toBe(false);
  open();
  await both.close();
  await running;
});

test('a run that is over leaves nothing on the signal of its delivery', async () => {
  await scene.publish(1, () => 'a');
  const lost = new AbortController();
  const backend = scene.withDeliveries(() => ({ signal: lost.signal }));
  let runs = 0;
  const looking = scene.dispatcher(
    (_, { signal }) => {
      runs += 1;
      expect(signal.aborted).toBe(false);
      if (runs < 3) throw new Error('declined');
    },
    { backend, ordering: 'key' },
  );
  const running = looking.consumeLoop('orders');
  await settled();
  await scene.clock.advance(100);
  await scene.clock.advance(100);
  expect(runs).toBe(3);
  expect(getEventListeners(lost.signal, 'abort').length).toBeLessThanOrEqual(1);
  await looking.close();
  await running;
});

test('consumeEvent leaves nothing on the signals that stop it, however often it is called', async () => {
  const stop = new AbortController();
  const composed: unknown[] = [];
  const any = AbortSignal.any.bind(AbortSignal);
  AbortSignal.any = (signals) => {
    composed.push(signals);
    return any(signals);
  };
  const polling = scene.dispatcher(() => undefined);
  try {
    for (let call = 0; call < 200; call += 1) await polling.consumeEvent('orders', { signal: stop.signal });
  } finally {
    AbortSignal.any = any;
  }
  // What `AbortSignal.any` makes stays with its sources, where no listener tells of it.
  expect(composed).toEqual([]);
  expect(getEventListeners(stop.signal, 'abort')).toEqual([]);
  const running = polling.consumeLoop('orders', { signal: stop.signal });
  await settled();
  stop.abort();
  await running;
});

test('close() says after a second how many handlers it still waits for, and until when', async () => {
  await scene.publish(3);
  const lines: [string, unknown][] = [];
  const logger = {
    debug: () => undefined,
    info: () => undefined,
    warn: (line: string, fields: unknown) => void lines.push([line, fields]),
    error: () => undefined,
  };
  let closing: Promise<void> | undefined;
  const { passed, open } = gate();
  const selfClosing = scene.dispatcher(
    async ({ n }) => {
      if (n < 2) return passed;
      closing = selfClosing.close({ deadlineMs: 2_000 });
      await closing;
    },
    { logger },
  );
  const running = selfClosing.consumeLoop('orders');
  await settled();
  const until = new Date(scene.clock.now() + 2_000).toISOString();
  await scene.clock.advance(999);
  expect(lines).toEqual([]);
  await scene.clock.advance(1);
  expect(lines).toEqual([
    [
      expect.stringContaining('close() waits for handlers'),
      { queue: 'orders', running: 3, deadlineMs: 2_000, until },
    ],
  ]);
  open();
  await scene.clock.advance(1_000);
  await running;
  await closing;
});

test('close() has nothing to say of handlers that end within a second', async () => {
  await scene.publish(1);
  const lines: string[] = [];
  const log = (line: string) => void lines.push(line);
  const logger = { debug: () => undefined, info: () => undefined, warn: log, error: log };
  const { passed, open } = gate();
  const quick = scene.dispatcher(() => passed, { logger });
  const running = quick.consumeLoop('orders');
  await settled();
  const closing = quick.close();
  await scene.clock.advance(500);
  open();
  await Promise.all([closing, running]);
  await scene.clock.advance(10_000);
  expect(lines).toEqual([]);
});

test('close() without a handler under way has nothing to say', async () => {
  const lines: string[] = [];
  const log = (line: string) => void lines.push(line);
  const logger = { debug: () => undefined, info: () => undefined, warn: log, error: log };
  const idle = scene.dispatcher(() => undefined, { logger });
  const running = idle.consumeLoop('orders');
  await settled();
  await idle.close();
  await running;
  expect(lines).toEqual([]);
});
