import { MemoryBackend } from '@melange/backend-memory';
import { defineMessage, exponentialBackoff, RetryLater } from '@melange/core';
import { MemoryDeduplicationCache } from '@melange/dedup-memory';
import { defineService, type ServiceTest } from '@melange/service';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { InvoicePaid, OrderCancelled, OrderPlaced, PayInvoice } from './support/messages.ts';
import { gate } from './support/promises.ts';

/** Takes its time to be validated. */
const slow = z.object({ orderId: z.string() }).refine(async () => {
  await outside();
  return true;
});
class Audited extends defineMessage('Audited', slow) {}

const messages = [OrderPlaced, OrderCancelled, InvoicePaid, PayInvoice, Audited] as const;
const tests: ServiceTest[] = [];
afterEach(() => Promise.all(tests.splice(0).map((test) => test.stop())));

async function opened<Test extends { stop(): Promise<void> }>(starting: Promise<Test>): Promise<Test> {
  const test = await starting;
  tests.push(test as unknown as ServiceTest);
  return test;
}

/** Real time, as work outside of the process takes it. */
const outside = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));

const declaration = {
  name: 'billing',
  backend: new MemoryBackend(),
  messages,
  cache: new MemoryDeduplicationCache(),
  queues: {
    orders: {
      topics: ['order-events'],
      deadLetterQueue: 'orders-dead',
      retry: exponentialBackoff({ maxAttempts: 3 }),
    },
    invoices: { topics: ['billing-events'] },
  },
  publishes: { 'billing-events': [InvoicePaid] },
  sends: { payments: [PayInvoice], audit: [Audited], orders: [OrderPlaced] },
} as const;

describe('deliver', () => {
  it('resolves when all that follows is settled, however long its handlers take, and whatever they publish', async () => {
    const done: string[] = [];
    const billing = defineService(declaration)
      .on('orders', OrderPlaced, async ({ id }, { publish, send }) => {
        await outside();
        await publish('billing-events', new InvoicePaid({ orderId: id }));
        if (id === '1') await send('orders', new OrderPlaced({ id: '2' }));
        done.push(`order ${id}`);
      })
      .on('invoices', InvoicePaid, async ({ orderId }, { send }) => {
        await outside();
        // Nobody waits for this one: it is counted all the same.
        void send('audit', new Audited({ orderId }));
        done.push(`invoice ${orderId}`);
      });
    const t = await opened(billing.test());
    await t.deliver('orders', new OrderPlaced({ id: '1' }));
    expect(done.toSorted()).toEqual(['invoice 1', 'invoice 2', 'order 1', 'order 2']);
    expect(t.published(InvoicePaid)).toEqual([
      new InvoicePaid({ orderId: '1' }),
      new InvoicePaid({ orderId: '2' }),
    ]);
    expect(t.published(Audited)).toHaveLength(2);
    expect(t.counters()).toMatchObject({ orders: { acknowledged: 2 }, invoices: { acknowledged: 2 } });
  });

  it('settles a thousand messages, and more than are processed at once', async () => {
    const seen = new Set<string>();
    const billing = defineService(declaration).on('orders', OrderPlaced, async ({ id }) => {
      await new Promise((resolve) => setImmediate(resolve));
      seen.add(id);
    });
    const t = await opened(billing.test());
    const ids = Array.from({ length: 1_000 }, (_, index) => String(index));
    await t.deliverAll(
      'orders',
      ids.map((id) => new OrderPlaced({ id })),
    );
    expect(seen.size).toBe(1_000);
  });

  it('leaves waiting what waits for its time', async () => {
    const attempts: number[] = [];
    const billing = defineService(declaration).on('orders', OrderPlaced, (_, { attempt }) => {
      attempts.push(attempt);
      if (attempt < 3) throw new Error('not yet');
    });
    const t = await opened(billing.test());
    await t.deliver('orders', new OrderPlaced({ id: '1' }));
    expect(attempts).toEqual([1]);
    await t.advance(999);
    expect(attempts).toEqual([1]);
    await t.advance(1);
    expect(attempts).toEqual([1, 2]);
    await t.advance('2 s');
    expect(attempts).toEqual([1, 2, 3]);
    expect(t.errors()).toMatchObject([
      { queue: 'orders', attempt: 1, consumer: 'billing', error: { message: 'not yet' } },
      { attempt: 2 },
    ]);
    expect(t.deadLetters('orders')).toEqual([]);
  });

  it.each(['key', 'queue'] as const)(
    'knows what waits for its turn from what runs, ordered by %s',
    async (ordering) => {
      const seen: string[] = [];
      const orders = { ...declaration.queues.orders, ordering, concurrency: 2 };
      const billing = defineService({ ...declaration, queues: { ...declaration.queues, orders } }).on(
        'orders',
        OrderPlaced,
        async ({ id }, { attempt }) => {
          await outside();
          seen.push(`${id}#${attempt}`);
          if (id === '1' && attempt === 1) throw new Error('not yet');
        },
      );
      const t = await opened(billing.test());
      const ids = ['1', '2', '3'];
      await t.deliverAll(
        'orders',
        ids.map((id) => new OrderPlaced({ id })),
        { key: 'a' },
      );
      expect(seen).toEqual(['1#1']);
      await t.advance('1s');
      expect(seen).toEqual(['1#1', '1#2', '2#1', '3#1']);
    },
  );

  it('goes through topics and their filters', async () => {
    const billing = defineService(declaration).on('orders', OrderPlaced, () => undefined);
    const t = await opened(billing.test());
    await t.deliverToTopic('order-events', new OrderPlaced({ id: '1' }));
    await t.deliverToTopic('order-events', new OrderCancelled({ id: '1' }));
    expect(t.counters().orders).toMatchObject({ received: 1, acknowledged: 1 });
  });

  it('knows a message that is delivered twice, where the service has a cache', async () => {
    let runs = 0;
    const billing = defineService(declaration).on('orders', OrderPlaced, () => {
      runs += 1;
    });
    const t = await opened(billing.test());
    const id = await t.deliver('orders', new OrderPlaced({ id: '1' }));
    await t.deliver('orders', new OrderPlaced({ id: '1' }), { id });
    expect(runs).toBe(1);
    expect(t.counters().orders).toMatchObject({ duplicates: 1 });
  });
});

describe('time', () => {
  it('passes only when it is told to, in order, each timer settled before the next one', async () => {
    const seen: string[] = [];
    const billing = defineService(declaration).on('orders', OrderPlaced, async ({ id }, { attempt }) => {
      await outside();
      seen.push(`${id}#${attempt}`);
      if (id === 'late') return;
      if (attempt === 1) throw new RetryLater('later', { delayMs: 3_600_000 });
    });
    const t = await opened(billing.test());
    const begun = t.now();
    await t.deliver('orders', new OrderPlaced({ id: '1' }));
    await t.advance('59 minutes');
    expect(seen).toEqual(['1#1']);
    await t.advance('1m');
    expect(seen).toEqual(['1#1', '1#1']);
    await t.advance('2h');
    expect(seen).toEqual(['1#1', '1#1', '1#1', '1#1']);
    expect(t.now() - begun).toBe(3 * 3_600_000);
  });

  it('moves past the timeout of a handler that hangs while its deliver is waited for', async () => {
    const orders = { ...declaration.queues.orders, handlerTimeoutMs: 30_000 };
    const reasons: unknown[] = [];
    const billing = defineService({ ...declaration, queues: { ...declaration.queues, orders } }).on(
      'orders',
      OrderPlaced,
      (_, { signal }) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => {
            reasons.push(signal.reason.reason);
            reject(signal.reason);
          });
        }),
    );
    const t = await opened(billing.test());
    const delivering = t.deliver('orders', new OrderPlaced({ id: '1' }));
    await t.advance('30s');
    await delivering;
    expect(reasons).toEqual(['timeout']);
  });

  it.each([
    [1_500, 1_500],
    ['90s', 90_000],
    ['1.5h', 5_400_000],
    ['2 days', 172_800_000],
    ['10 minutes', 600_000],
    ['5ms', 5],
  ] as const)('%s is %d ms', async (duration, ms) => {
    const t = await opened(defineService(declaration).test());
    const begun = t.now();
    await t.advance(duration);
    expect(t.now() - begun).toBe(ms);
  });

  it.each(['1 fortnight', '-1s', -1, Number.NaN])('%s is no duration', async (duration) => {
    const t = await opened(defineService(declaration).test());
    await expect(t.advance(duration as number)).rejects.toMatchObject({ code: 'CONFIGURATION' });
  });
});

it('leaves the service as it was: not started, its handlers its own, tested as often as one likes', async () => {
  let runs = 0;
  const billing = defineService(declaration).on('orders', OrderPlaced, () => {
    runs += 1;
  });
  const first = await opened(billing.test());
  const second = await opened(billing.test());
  await first.deliver('orders', new OrderPlaced({ id: '1' }));
  expect(runs).toBe(1);
  expect(second.counters().orders).toMatchObject({ received: 0 });
  expect(await billing.health()).toMatchObject({ status: 'unhealthy', detail: 'service: not started' });
});

it('ends though a handler hangs', async () => {
  const { passed } = gate();
  const billing = defineService(declaration).on('orders', OrderPlaced, () => passed);
  const t = await billing.test();
  void t.deliver('orders', new OrderPlaced({ id: '1' })).catch(() => undefined);
  await t.advance(0);
  await t.stop();
});

it('settles while the timers of the machine are faked, as vitest and Jest do', async () => {
  // Jest fakes microtasks by default, too.
  vi.useFakeTimers({
    toFake: ['setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask', 'Date', 'performance'],
  });
  try {
    const billing = defineService(declaration)
      .on('orders', OrderPlaced, async ({ id }, { publish, attempt }) => {
        if (attempt === 1) throw new Error('not yet');
        await publish('billing-events', new InvoicePaid({ orderId: id }));
      })
      .onBatch('invoices', InvoicePaid, { maxMessages: 2, maxWaitMs: 50 }, () => undefined);
    const t = await billing.test();
    await t.deliver('orders', new OrderPlaced({ id: '1' }));
    await t.advance('1h');
    expect(t.counters()).toMatchObject({ orders: { acknowledged: 1 }, invoices: { acknowledged: 1 } });
    await t.stop();
  } finally {
    vi.useRealTimers();
  }
});
