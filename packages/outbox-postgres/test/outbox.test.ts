import { MelangeError, type Message, SerializerRegistry } from '@melange/core';
import { describe, expect, test, vi } from 'vitest';
import { Outbox } from '../src/index.ts';
import { serializers as jsonSerializers, openOutbox, received, url } from './support/outbox.ts';

const patience = { timeout: 20_000, interval: 10 };

describe.skipIf(url === '')('an outbox (skipped without POSTGRES_URL)', () => {
  test('publishes what a committed transaction wrote, as it was written, and nothing of one that was rolled back', async () => {
    const { connection, outbox, backend, relay, count } = await openOutbox();
    await backend.declareQueue('all', { topics: ['order-events'] });
    const orders = await received(backend);
    const events = await received(backend, 'all');
    await relay().start();
    const ids = await connection.transaction(async (transaction) => {
      const { queues, topics } = outbox.within(transaction);
      return [
        await queues.publish('orders', { n: 1 }, { key: 'k', headers: { tenant: 'a' }, id: 'order-1' }),
        await topics.publish('order-events', { n: 2 }, { correlationId: 'c' }),
      ];
    });
    await expect(
      connection.transaction(async (transaction) => {
        await outbox.within(transaction).queues.publish('orders', { n: 3 });
        throw new Error('rolled back');
      }),
    ).rejects.toThrow('rolled back');
    await outbox.within(connection).queues.publish('orders', { n: 4 }, { id: 'order-4' });
    await vi.waitFor(() => expect([orders.length, events.length]).toEqual([2, 1]), patience);
    expect(ids[0]).toBe('order-1');
    expect(orders[0]).toMatchObject({
      id: 'order-1',
      content: '{"n":1}',
      manifest: 'json',
      serializerId: 1,
      contentType: 'application/json',
      key: 'k',
      headers: { tenant: 'a' },
      publishedAt: expect.any(Number),
    });
    expect(orders[1]?.id).toBe('order-4');
    expect(events[0]).toMatchObject({ id: ids[1], headers: { correlationId: 'c' } });
    await vi.waitFor(async () => expect(await count('outbox')).toBe(0), patience);
  });

  test('carries bytes, empty content, the character U+0000 and others beyond ASCII', async () => {
    const { connection, schema, backend, relay } = await openOutbox();
    const contents = [new Uint8Array([0, 1, 254, 255]), new Uint8Array(0), '', 'a\0b', '{"😀":"ü?$1\\\\"}'];
    const serializer = {
      identifier: 9,
      manifest: () => 'raw',
      serialize: (value: unknown) => contents[(value as { n: number }).n] as string,
      deserialize: (content: unknown) => content,
    };
    const serializers = new SerializerRegistry({ serializers: { raw: serializer }, default: 'raw' });
    const orders = await received(backend);
    await relay().start();
    const { queues } = new Outbox({ serializers, schema }).within(connection);
    await queues.publishBatch(
      'orders',
      contents.map((_, n) => ({ value: { n }, key: 'k' })),
    );
    await vi.waitFor(() => expect(orders).toHaveLength(contents.length), patience);
    const arrived = orders.map(({ content }) =>
      typeof content === 'string' ? content : new Uint8Array(content ?? []),
    );
    expect(arrived).toEqual(contents);
  });

  test('rejects what Postgres could not hold before it is asked, so that the transaction goes on', async () => {
    const { connection, outbox, count } = await openOutbox();
    await connection.transaction(async (transaction) => {
      const { queues } = outbox.within(transaction);
      for (const [queue, options] of [
        ['orders', { key: 'a\0' }],
        ['orders', { headers: { a: 'b\0' } }],
        ['orders', { headers: { 'a\0': 'b' } }],
        ['orders', { id: 'half a pair \ud800' }],
        ['orders', { headers: { melange_key: 'x' } }],
        ['or\0ders', {}],
        ['', {}],
      ] as const) {
        const refused = await queues.publish(queue, { n: 1 }, options).catch((error: unknown) => error);
        expect(MelangeError.is(refused, 'MESSAGE_INVALID'), JSON.stringify([queue, options])).toBe(true);
      }
      await queues.publish('orders', { n: 2 });
    });
    expect(await count('outbox')).toBe(1);
  });

  test('takes a batch of any size, in order', async () => {
    const { connection, outbox, backend, relay } = await openOutbox();
    const orders = await received(backend);
    const all = Array.from({ length: 2_500 }, (_, n) => ({ value: { n }, id: `message-${n}` }));
    const ids = await connection.transaction((transaction) =>
      outbox.within(transaction).queues.publishBatch('orders', all),
    );
    await relay({ maxInFlight: 400, batchSize: 100 }).start();
    await vi.waitFor(() => expect(orders).toHaveLength(all.length), patience);
    expect(orders.map(({ id }) => id)).toEqual(ids);
  });

  test('publishes a message whose transaction commits after later ones were published', async () => {
    const { connection, outbox, backend, relay } = await openOutbox();
    const orders = await received(backend);
    await relay().start();
    let commit: () => void = () => undefined;
    const written = new Promise<void>((resolve) => {
      void connection.transaction(async (transaction) => {
        await outbox.within(transaction).queues.publish('orders', {}, { id: 'early', key: 'k' });
        resolve();
        await new Promise<void>((end) => {
          commit = end;
        });
      });
    });
    await written;
    for (const id of ['late-1', 'late-2'])
      await outbox.within(connection).queues.publish('orders', {}, { id, key: 'k' });
    // The open transaction holds up nobody, though it may never end.
    await vi.waitFor(() => expect(orders.map(({ id }) => id)).toEqual(['late-1', 'late-2']), patience);
    commit();
    await vi.waitFor(
      () => expect(orders.map(({ id }) => id)).toEqual(['late-1', 'late-2', 'early']),
      patience,
    );
  });

  test('wakes its relay when a transaction commits; without notifications it looks by itself', async () => {
    const { connection, outbox, schema, backend, relay } = await openOutbox();
    const orders: Message[] = await received(backend);
    await relay({ pollMs: 30_000, leaseMs: 90_000 }).start();
    await vi.waitFor(() => expect(connection.isListening).toBe(true), patience);
    for (let n = 1; n <= 3; n += 1) {
      await outbox.within(connection).queues.publish('orders', { n });
      await vi.waitFor(() => expect(orders).toHaveLength(n), patience);
    }
    const silent = new Outbox({ serializers: jsonSerializers, schema, notify: false });
    await relay({ pollMs: 20 }).start();
    await silent.within(connection).queues.publish('orders', { n: 4 });
    await vi.waitFor(() => expect(orders).toHaveLength(4), patience);
  });

  test('delays messages by the clock of the server, and nothing waits for them', async () => {
    const { connection, outbox, backend, relay } = await openOutbox();
    const times: [string, number][] = [];
    const subscription = await backend.subscribe('orders', { maxInFlight: 10 }, (delivery) => {
      times.push([delivery.message.id, performance.now()]);
      void delivery.acknowledge();
    });
    // Of a process whose clock is an hour ahead.
    const clock = vi
      .spyOn(Date, 'now')
      .mockImplementation(() => performance.timeOrigin + performance.now() + 3_600_000);
    try {
      await relay({ pollMs: 30_000, leaseMs: 90_000 }).start();
      const { queues } = outbox.within(connection);
      const begin = performance.now();
      await queues.publish('orders', {}, { id: 'later', key: 'k', delayMs: 400 });
      await queues.publish('orders', {}, { id: 'now', key: 'k' });
      await vi.waitFor(() => expect(times.map(([id]) => id)).toEqual(['now', 'later']), patience);
      expect((times[1] as [string, number])[1] - begin).toBeGreaterThanOrEqual(399);
    } finally {
      clock.mockRestore();
      await subscription.close();
    }
  });
});
