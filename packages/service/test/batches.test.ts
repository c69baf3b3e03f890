import { MemoryBackend } from '@melange/backend-memory';
import {
  consumeContext,
  fixedDelays,
  QueuePublisher,
  Reject,
  RetryLater,
  SerializerRegistry,
  SimpleMessageDispatcher,
  silentLogger,
} from '@melange/core';
import { MemoryDeduplicationCache } from '@melange/dedup-memory';
import { JsonSerializer } from '@melange/serializer-json';
import { BatchConsumer, type BatchHandler, defineService, type ServiceTest } from '@melange/service';
import { afterEach, describe, expect, it } from 'vitest';
import { InvoicePaid, OrderCancelled, OrderPlaced } from './support/messages.ts';

const tests: { stop(): Promise<void> }[] = [];
afterEach(() => Promise.all(tests.splice(0).map((test) => test.stop())));

const declaration = {
  name: 'billing',
  backend: new MemoryBackend(),
  messages: [OrderPlaced, OrderCancelled, InvoicePaid],
  cache: new MemoryDeduplicationCache(),
  queues: { orders: { deadLetterQueue: 'orders-dead', retry: fixedDelays([1_000, 1_000]) } },
  publishes: { 'billing-events': [InvoicePaid] },
} as const;
const orders = (count: number): OrderPlaced[] =>
  Array.from({ length: count }, (_, index) => new OrderPlaced({ id: String(index + 1) }));

async function opened(
  handler: BatchHandler<OrderPlaced>,
  options = { maxMessages: 100 },
  queue: object = {},
): Promise<Pick<ServiceTest, 'deliverAll' | 'advance' | 'deadLetters' | 'counters'>> {
  const queues = { orders: { ...declaration.queues.orders, ...queue } };
  const billing = defineService({ ...declaration, queues }).onBatch('orders', OrderPlaced, options, handler);
  const test = await billing.test();
  tests.push(test);
  return test as unknown as ServiceTest;
}

describe('a batch', () => {
  it('has the messages that come together, up to so many', async () => {
    const batches: string[][] = [];
    const t = await opened((messages) => void batches.push(messages.map(({ id }) => id)), { maxMessages: 3 });
    await t.deliverAll('orders', orders(7));
    expect(batches).toEqual([['1', '2', '3'], ['4', '5', '6'], ['7']]);
    expect(t.counters().orders).toMatchObject({ acknowledged: 7 });
  });

  it('is as large as it may be without saying how many are processed at once', async () => {
    const sizes: number[] = [];
    const t = await opened((messages) => void sizes.push(messages.length), { maxMessages: 50 });
    await t.deliverAll('orders', orders(50));
    expect(sizes).toEqual([50]);
  });

  it('has an outcome for each message: done, retried, retried later, dead-lettered', async () => {
    const seen: string[][] = [];
    const t = await opened((messages, { contexts }) => {
      seen.push(messages.map(({ id }, index) => `${id}#${contexts[index]?.attempt}`));
      return messages.map(({ id }, index) => {
        if (id === '2' && contexts[index]?.attempt === 1) return new Error('not yet');
        if (id === '3') return new Reject('never');
        if (id === '4' && seen.length === 1) return new RetryLater('later', { delayMs: 5_000 });
        return undefined;
      });
    });
    await t.deliverAll('orders', orders(5));
    expect(t.counters().orders).toMatchObject({ acknowledged: 2, retried: 2, deadLettered: 1 });
    expect(t.deadLetters('orders')).toMatchObject([{ message: { id: '3' }, reason: 'rejected' }]);
    await t.advance('10s');
    expect(seen).toEqual([['1#1', '2#1', '3#1', '4#1', '5#1'], ['2#2'], ['4#1']]);
    expect(t.counters().orders).toMatchObject({ acknowledged: 4 });
  });

  it('answers what Promise.allSettled does', async () => {
    const t = await opened((messages) =>
      Promise.allSettled(
        messages.map(async ({ id }) => {
          if (id !== '1') throw new Reject('never');
          return id;
        }),
      ),
    );
    await t.deliverAll('orders', orders(2));
    expect(t.counters().orders).toMatchObject({ acknowledged: 1, deadLettered: 1 });
  });

  it('fails as a whole when its handler throws; then each message has its attempts alone', async () => {
    const batches: string[][] = [];
    const t = await opened((messages) => {
      batches.push(messages.map(({ id }) => id));
      if (messages.some(({ id }) => id === '2')) throw new Error('bad 2');
    });
    await t.deliverAll('orders', orders(3));
    expect(batches).toEqual([['1', '2', '3']]);
    await t.advance('1 h');
    expect(batches.slice(1).toSorted()).toEqual([['1'], ['2'], ['2'], ['3']]);
    expect(t.counters().orders).toMatchObject({ acknowledged: 2, deadLettered: 1 });
    expect(t.deadLetters('orders')).toMatchObject([{ message: { id: '2' }, attempts: 3 }]);
  });

  it('fails as a whole when the results are not as many as the messages', async () => {
    const t = await opened(() => [undefined]);
    await t.deliverAll('orders', orders(3));
    expect(t.counters().orders).toMatchObject({ acknowledged: 0, retried: 3 });
  });

  it('keeps the order of a key: the next message comes when the one before it is done', async () => {
    const batches: string[][] = [];
    const t = await opened(
      (messages) => {
        batches.push(messages.map(({ id }) => id));
        return messages.map(({ id }) =>
          id === '1' && batches.length === 1 ? new Error('not yet') : undefined,
        );
      },
      { maxMessages: 10 },
      { ordering: 'key' },
    );
    await t.deliverAll('orders', orders(3), { key: 'a' });
    expect(batches).toEqual([['1']]);
    await t.advance('1s');
    expect(batches).toEqual([['1'], ['1'], ['2'], ['3']]);
  });

  it('has each message once, as the cache knows it', async () => {
    const seen: string[] = [];
    const billing = defineService(declaration).onBatch('orders', OrderPlaced, { maxMessages: 10 }, (all) => {
      seen.push(...all.map(({ id }) => id));
      return all.map(({ id }) => (id === '2' ? new Error('not yet') : undefined));
    });
    const t = await billing.test();
    tests.push(t);
    const [id] = await t.deliverAll('orders', orders(2));
    await t.deliver('orders', new OrderPlaced({ id: '1' }), { id: id as string });
    expect(seen).toEqual(['1', '2']);
    expect(t.counters().orders).toMatchObject({ duplicates: 1 });
  });

  it('publishes for all, or because of one message', async () => {
    const billing = defineService(declaration)
      .onBatch(
        'orders',
        OrderPlaced,
        { maxMessages: 10 },
        async (all, { contexts, publishBatch, queue, signal }) => {
          expect([queue, signal.aborted]).toEqual(['orders', false]);
          await publishBatch(
            'billing-events',
            all.map(({ id }) => ({ value: new InvoicePaid({ orderId: id }) })),
          );
          await contexts[1]?.publish('billing-events', new InvoicePaid({ orderId: 'because' }));
        },
      )
      .on('orders', OrderCancelled, () => undefined);
    const t = await billing.test();
    tests.push(t);
    const ids = await t.deliverAll('orders', [...orders(2), new OrderCancelled({ id: '3' })]);
    const headers = t.publications().map((publication) => publication.headers);
    expect(headers).toEqual([{}, {}, { correlationId: ids[1], causationId: ids[1] }]);
    expect(t.counters().orders).toMatchObject({ acknowledged: 3 });
  });
});

it('a queue that hands over one message at a time has no batches, and numbers make sense', () => {
  const queues = { orders: { ordering: 'queue' } } as const;
  const inOrder = defineService({ ...declaration, queues });
  expect(() => inOrder.onBatch('orders', OrderPlaced, { maxMessages: 2 }, () => undefined)).toThrow(
    'hands over one message at a time',
  );
  const billing = defineService(declaration);
  expect(() => billing.onBatch('orders', OrderPlaced, { maxMessages: 0 }, () => undefined)).toThrow(
    'maxMessages',
  );
  const negative = { maxMessages: 1, maxWaitMs: -1 };
  expect(() => billing.onBatch('orders', OrderPlaced, negative, () => undefined)).toThrow('maxWaitMs');
});

describe('a consumer of batches, for a dispatcher', () => {
  const serializers = new SerializerRegistry({
    serializers: { json: new JsonSerializer([OrderPlaced, InvoicePaid]) },
    default: 'json',
  });

  it('takes the messages of its class, waits for more of them, and has outcomes for each', async () => {
    const backend = new MemoryBackend();
    await backend.declareQueue('orders', { deadLetterQueue: 'dead' });
    const batches: string[][] = [];
    const consumer = new BatchConsumer('billing', OrderPlaced, { maxMessages: 3, maxWaitMs: 20 }, (all) => {
      batches.push(all.map(({ id }) => id));
      return all.map(({ id }) => (id === '4' ? new Reject('never') : undefined));
    });
    const publisher = new QueuePublisher({ backend, serializers });
    await publisher.publishBatch(
      'orders',
      orders(4).map((value) => ({ value })),
    );
    const options = { backend, serializers, logger: silentLogger };
    const dispatcher = new SimpleMessageDispatcher(consumer, options);
    await dispatcher.consumeEvent('orders');
    expect(batches).toEqual([['1', '2', '3'], ['4']]);
    expect(dispatcher.counters).toMatchObject({ acknowledged: 3, deadLettered: 1 });
    expect(consumer.accepts(new InvoicePaid({ orderId: '1' }))).toBe(false);
  });

  it('has a message alone that failed before, though others come with it', async () => {
    const batches: string[][] = [];
    const consumer = new BatchConsumer('billing', OrderPlaced, { maxMessages: 3, maxWaitMs: 0 }, (all) => {
      batches.push(all.map(({ id }) => id));
    });
    const attempts = [2, 1, 3, 1];
    await Promise.all(
      orders(4).map((order, index) =>
        consumer.process(order, consumeContext({ attempt: attempts[index] ?? 1 })),
      ),
    );
    expect(batches.toSorted()).toEqual([['1'], ['2', '4'], ['3']]);
  });

  it('aborts its signal when every message is taken away, and each message’s own when that one is', async () => {
    const backend = new MemoryBackend();
    await backend.declareQueue('orders');
    const begun: { signal: AbortSignal; signals: AbortSignal[] }[] = [];
    const consumer = new BatchConsumer(
      'billing',
      OrderPlaced,
      { maxMessages: 2 },
      (_, { signal, contexts }) => {
        begun.push({ signal, signals: contexts.map((context) => context.signal) });
        return new Promise((resolve) => signal.addEventListener('abort', () => resolve(undefined)));
      },
    );
    const publisher = new QueuePublisher({ backend, serializers });
    await publisher.publishBatch(
      'orders',
      orders(2).map((value) => ({ value })),
    );
    const dispatcher = new SimpleMessageDispatcher(consumer, { backend, serializers, logger: silentLogger });
    const consumed = dispatcher.consumeLoop('orders');
    await expect.poll(() => begun.length).toBe(1);
    expect(begun[0]?.signal.aborted).toBe(false);
    await dispatcher.close({ deadlineMs: 10 });
    await consumed;
    expect(begun[0]?.signal.aborted).toBe(true);
    expect(begun[0]?.signals.map(({ aborted }) => aborted)).toEqual([true, true]);
    expect((await backend.describeQueue('orders')).depth).toBe(2);
  });
});
