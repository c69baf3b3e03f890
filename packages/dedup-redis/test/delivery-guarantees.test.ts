import { randomUUID } from 'node:crypto';
import { MemoryBackend } from '@melange/backend-memory';
import {
  MessageDispatcher,
  QueuePublisher,
  SerializerRegistry,
  silentLogger,
  TopicPublisher,
} from '@melange/core';
import { JsonSerializer } from '@melange/serializer-json';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { openCache } from './support/servers.ts';

const url = process.env.REDIS_URL ?? '';
const serializers = new SerializerRegistry({ serializers: { json: new JsonSerializer() }, default: 'json' });

describe.skipIf(url === '')('a message id that the application gives (skipped without REDIS_URL)', () => {
  test('makes a second publish a duplicate for every consumer, until its lifetime ends', async () => {
    const { cache } = openCache({ url, namespace: randomUUID(), ttlMs: 4_000 });
    const backend = new MemoryBackend();
    onTestFinished(() => backend.close());
    await backend.declareQueue('orders');
    const seen: string[] = [];
    const dispatcher = new MessageDispatcher({ backend, serializers, cache, logger: silentLogger });
    for (const name of ['billing', 'shipping']) {
      dispatcher.attachConsumer({ name, accepts: () => true, process: () => void seen.push(name) });
    }
    const publish = () =>
      new QueuePublisher({ backend, serializers }).publish('orders', { n: 1 }, { id: 'order-4711-paid' });
    await publish();
    await dispatcher.consumeEvent('orders');
    await publish();
    await dispatcher.consumeEvent('orders');
    expect(seen).toEqual(['billing', 'shipping']);
    expect(dispatcher.counters).toMatchObject({ acknowledged: 2, duplicates: 2 });
    await vi.waitFor(
      async () => {
        await publish();
        await dispatcher.consumeEvent('orders');
        expect(seen).toEqual(['billing', 'shipping', 'billing', 'shipping']);
      },
      { timeout: 20_000, interval: 200 },
    );
  });
});

describe.skipIf(url === '')('two services (skipped without REDIS_URL)', () => {
  test('that name their consumers alike, in one namespace, both do their work', async () => {
    // As two services with the default namespace of a shared Redis have it.
    const namespace = randomUUID();
    const backend = new MemoryBackend();
    onTestFinished(() => backend.close());
    const seen: string[] = [];
    const dispatchers = ['billing', 'shipping'].map((queue) => {
      const { cache } = openCache({ url, namespace });
      const dispatcher = new MessageDispatcher({ backend, serializers, cache, logger: silentLogger });
      dispatcher.attachConsumer({
        name: 'orders',
        accepts: () => true,
        process: () => void seen.push(queue),
      });
      return { queue, dispatcher };
    });
    for (const { queue } of dispatchers) await backend.declareQueue(queue, { topics: ['orders'] });
    await new TopicPublisher({ backend, serializers }).publish('orders', { n: 1 });
    for (const { queue, dispatcher } of dispatchers) await dispatcher.consumeEvent(queue);
    expect(seen).toEqual(['billing', 'shipping']);
    expect(dispatchers.map(({ dispatcher }) => dispatcher.counters.duplicates)).toEqual([0, 0]);
  });

  test('of which the second takes over the name of the first do the work once', async () => {
    const namespace = randomUUID();
    const backend = new MemoryBackend();
    onTestFinished(() => backend.close());
    const seen: string[] = [];
    for (const queue of ['before', 'after']) {
      await backend.declareQueue(queue, { topics: ['orders'] });
      const { cache } = openCache({ url, namespace });
      const dispatcher = new MessageDispatcher({ backend, serializers, cache, logger: silentLogger });
      const process = () => void seen.push(queue);
      dispatcher.attachConsumer({ name: queue, deduplicationName: 'billing', accepts: () => true, process });
      const publisher = new TopicPublisher({ backend, serializers });
      await publisher.publish('orders', { n: 1 }, { id: 'order-4711-paid' });
      await dispatcher.consumeEvent(queue);
    }
    expect(seen).toEqual(['before']);
  });
});
