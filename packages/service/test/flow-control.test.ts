import { MemoryBackend } from '@melange/backend-memory';
import { fixedDelays, Reject } from '@melange/core';
import { defineService } from '@melange/service';
import { circuitBreaker, type FlowControl, rateLimit } from '@melange/service/flow-control';
import { afterEach, describe, expect, it } from 'vitest';
import { InvoicePaid, OrderPlaced } from './support/messages.ts';
import { Collected } from './support/promises.ts';
import { RecordingLogger } from './support/recording-logger.ts';

const tests: { stop(): Promise<void> }[] = [];
afterEach(() => Promise.all(tests.splice(0).map((test) => test.stop())));

const orders = (count: number): OrderPlaced[] =>
  Array.from({ length: count }, (_, index) => new OrderPlaced({ id: String(index + 1) }));

/** The service in virtual time; its handler fails while `isDown`. */
async function downstream(queue: object, retry = fixedDelays([1_000, 1_000])) {
  const state = { isDown: true, runs: [] as string[] };
  const service = defineService({
    name: 'billing',
    backend: new MemoryBackend(),
    messages: [OrderPlaced, InvoicePaid],
    queues: {
      orders: { deadLetterQueue: 'orders-dead', retry, concurrency: 4, ...queue },
      invoices: { circuitBreaker: (queue as { circuitBreaker?: FlowControl }).circuitBreaker as FlowControl },
    },
  })
    .on('orders', OrderPlaced, ({ id }, { attempt }) => {
      state.runs.push(`${id}#${attempt}`);
      if (id === 'bad') throw new Reject('never');
      if (state.isDown) throw new Error('no database');
    })
    .on('invoices', InvoicePaid, () => void state.runs.push('invoice'));
  const t = await service.test();
  tests.push(t);
  return { t, state };
}

describe('a circuit breaker', () => {
  const three = () => circuitBreaker({ failures: 3, halfOpenAfterMs: 10_000 });

  it('opens after so many failures in a row: no message runs, none uses up an attempt, intake waits', async () => {
    const { t, state } = await downstream({ circuitBreaker: three(), concurrency: 1 });
    await t.deliverAll('orders', orders(20));
    expect(state.runs).toEqual(['1#1', '2#1', '3#1']);
    expect(t.counters().orders).toMatchObject({ received: 4, retried: 3 });
    await t.advance('9s');
    expect(state.runs).toHaveLength(3);
    expect(t.counters().orders?.received).toBe(4);
  });

  it('lets one message try, stays open when that fails, and closes when it succeeds', async () => {
    const { t, state } = await downstream({ circuitBreaker: three(), concurrency: 2 });
    await t.deliverAll('orders', orders(10));
    const before = state.runs.length;
    await t.advance('10s');
    expect(state.runs).toHaveLength(before + 1);
    await t.advance('10s');
    expect(state.runs).toHaveLength(before + 2);
    state.isDown = false;
    await t.advance('1 minute');
    expect(t.counters().orders).toMatchObject({ acknowledged: 10, deadLettered: 0 });
  });

  it('has messages outlive an outage that is longer than all their attempts', async () => {
    const { t, state } = await downstream({ circuitBreaker: three() });
    await t.deliverAll('orders', orders(4));
    await t.advance('20 minutes');
    state.isDown = false;
    await t.advance('2 minutes');
    expect(t.counters().orders).toMatchObject({ acknowledged: 4 });
    expect(t.deadLetters('orders')).toEqual([]);
    // Only what ran while the circuit was closed: the first failures, and none of those that tried.
    expect(state.runs.every((run) => Number(run.split('#')[1]) <= 2)).toBe(true);
  });

  it('counts the share of failures where it is told to', async () => {
    const failureRate = { above: 0.5, of: 4 };
    const { t, state } = await downstream({
      circuitBreaker: circuitBreaker({ failureRate }),
      concurrency: 1,
    });
    await t.deliverAll('orders', orders(10));
    expect(state.runs).toHaveLength(4);
  });

  it('is not opened by what says something of its message only', async () => {
    const { t, state } = await downstream({ circuitBreaker: three() });
    await t.deliverAll(
      'orders',
      Array.from({ length: 10 }, () => new OrderPlaced({ id: 'bad' })),
    );
    expect(state.runs).toHaveLength(10);
    expect(t.deadLetters('orders')).toHaveLength(10);
  });

  it('is opened by the errors that it is told, and no others', async () => {
    const isFailure = (error: unknown): boolean => (error as Error).message === 'another';
    const { t, state } = await downstream({ circuitBreaker: circuitBreaker({ failures: 1, isFailure }) });
    await t.deliverAll('orders', orders(4));
    expect(state.runs).toHaveLength(4);
  });

  it('is one for all the queues that it is given to', async () => {
    const { t, state } = await downstream({ circuitBreaker: three(), concurrency: 1 });
    await t.deliverAll('orders', orders(5));
    await t.deliver('invoices', new InvoicePaid({ orderId: '1' }));
    expect(state.runs).not.toContain('invoice');
    state.isDown = false;
    await t.advance('1 minute');
    expect(state.runs).toContain('invoice');
  });

  it('keeps the order of a key', async () => {
    const { t, state } = await downstream(
      { circuitBreaker: three(), ordering: 'key' },
      fixedDelays([1_000, 1_000, 1_000, 1_000, 1_000]),
    );
    await t.deliverAll('orders', orders(3), { key: 'a' });
    await t.advance('1 h');
    state.isDown = false;
    state.runs.length = 0;
    await t.advance('1 minute');
    expect(state.runs.map((run) => run.split('#')[0])).toEqual(['1', '2', '3']);
  });

  it.each([
    [{ failures: 0 }, 'failures'],
    [{ halfOpenAfterMs: -1 }, 'halfOpenAfterMs'],
    [{ failureRate: { above: 1, of: 10 } }, 'failureRate.above'],
    [{ failureRate: { above: 0.5, of: 0 } }, 'failureRate.of'],
  ])('refuses %j', (options, message) => {
    expect(() => circuitBreaker(options)).toThrow(message);
  });
});

describe('a circuit breaker of a service that runs', () => {
  it('is told in health and in two lines, and what it holds goes back when the service stops', async () => {
    const logger = new RecordingLogger();
    const backend = new MemoryBackend();
    const runs = new Collected<string>();
    const billing = defineService({
      name: 'billing',
      backend,
      messages: [OrderPlaced],
      queues: {
        orders: {
          circuitBreaker: circuitBreaker({ failures: 1, halfOpenAfterMs: 3_600_000 }),
          concurrency: 1,
        },
      },
      sends: { orders: [OrderPlaced] },
      closesResources: false,
      logger,
    }).on('orders', OrderPlaced, ({ id }) => {
      runs.push(id);
      throw new Error('no database');
    });
    await billing.start();
    expect(await billing.health()).toMatchObject({ status: 'healthy' });
    await billing.sendBatch(
      'orders',
      orders(3).map((value) => ({ value })),
    );
    await runs.reach(1);
    await expect.poll(async () => (await billing.health()).status).toBe('degraded');
    expect((await billing.health()).queues.orders).toMatchObject({
      status: 'degraded',
      detail: 'circuit breaker: the circuit is open for 0 s: no database',
    });
    expect(logger.lines.items.filter(({ message }) => message.includes('circuit'))).toHaveLength(1);
    await expect.poll(() => billing.counters().orders?.received).toBe(2);
    await billing.stop();
    expect(runs.items).toEqual(['1']);
    // The second and third untouched; the first waits for its retry.
    await expect.poll(async () => (await backend.describeQueue('orders')).depth).toBe(2);
    await backend.close();
  });
});

describe('a rate limit', () => {
  it('by queue lets so many through in a time, and has the others wait in their place', async () => {
    const limit = rateLimit({ messages: 3, perMs: 1_000 });
    const { t, state } = await downstream({ rateLimit: limit, concurrency: 2 });
    state.isDown = false;
    await t.deliverAll('orders', orders(10));
    expect(state.runs).toHaveLength(3);
    expect(t.counters().orders?.received).toBe(5);
    await t.advance('1s');
    expect(state.runs).toHaveLength(6);
    await t.advance('2s');
    expect(state.runs).toHaveLength(10);
    expect(state.runs.every((run) => run.endsWith('#1'))).toBe(true);
  });

  it('by key holds up that key only, in order, and uses up no attempt', async () => {
    const limit = rateLimit({ messages: 1, perMs: 1_000, by: 'key' });
    const { t, state } = await downstream({ rateLimit: limit, ordering: 'key' });
    state.isDown = false;
    await t.deliverAll('orders', orders(3), { key: 'a' });
    await t.deliver('orders', new OrderPlaced({ id: 'other' }), { key: 'b' });
    await t.deliver('orders', new OrderPlaced({ id: 'without' }));
    expect(state.runs).toEqual(['1#1', 'other#1', 'without#1']);
    await t.advance('2s');
    expect(state.runs.slice(3)).toEqual(['2#1', '3#1']);
  });

  it('by key leaves room for other keys, however many messages of one are over it', async () => {
    const limit = rateLimit({ messages: 1, perMs: 1_000, by: 'key' });
    const { t, state } = await downstream({ rateLimit: limit, concurrency: 2 });
    state.isDown = false;
    // Memory hands out one message of a key at a time: two keys would take up both places.
    for (const key of ['a', 'b']) await t.deliverAll('orders', orders(3), { key });
    await t.deliver('orders', new OrderPlaced({ id: 'other' }), { key: 'c' });
    expect(state.runs).toEqual(['1#1', '1#1', 'other#1']);
  });

  it.each([
    [{ messages: 0, perMs: 1 }, 'messages'],
    [{ messages: 1, perMs: Number.NaN }, 'perMs'],
  ])('refuses %j', (options, message) => {
    expect(() => rateLimit(options)).toThrow(message);
  });
});
