import { MemoryBackend } from '@melange/backend-memory';
import { BackendManager, defineMessage, lift, MessagingBackendFactory, TopicPublisher } from '@melange/core';
import { expect, onTestFinished, test } from 'vitest';
import { z } from 'zod';
import { serializers } from './support/text-serializer.ts';

class OrderPlaced extends defineMessage('shop.OrderPlaced', z.object({})) {}
class Json {}

test('initQueue makes a queue with its topics, its filter and its dead-letter queue; twice is once', async () => {
  await using backend = new MemoryBackend();
  const factory = new MessagingBackendFactory(backend);
  const options = { topics: ['shop'], filter: [OrderPlaced, Json, 'json'], deadLetterQueue: 'orders-dead' };
  await factory.initQueue('orders', options);
  await factory.initQueue('orders', options);
  await factory.initQueue('placed', { topics: ['shop'], filter: [OrderPlaced] });
  await factory.initQueue('everything', { topics: ['shop'], filter: 'all' });
  expect(await backend.describeQueue('orders')).toMatchObject({
    exists: true,
    deadLetterQueue: 'orders-dead',
  });
  expect(await backend.describeQueue('orders-dead')).toMatchObject({ exists: true });
  // Published with the manifest `json`, which only the first queue lets through.
  await new TopicPublisher({ backend, serializers }).publish('shop', { n: 1 });
  expect(await backend.describeQueue('orders')).toMatchObject({ depth: 1 });
  expect(await backend.describeQueue('placed')).toMatchObject({ depth: 0 });
  expect(await backend.describeQueue('everything')).toMatchObject({ depth: 1 });
});

test('a class in a filter lets the earlier forms through that it reads', async () => {
  const earlier = z.object({ id: z.string() });
  class OrderPaid extends defineMessage('OrderPaid.v2', z.object({ orderId: z.string() }), {
    alsoReads: [lift('json', earlier, ({ id }) => ({ orderId: id }))],
  }) {}
  await using backend = new MemoryBackend();
  await new MessagingBackendFactory(backend).initQueue('paid', { topics: ['shop'], filter: [OrderPaid] });
  // Published with the manifest `json`, as a service does that was not upgraded yet.
  await new TopicPublisher({ backend, serializers }).publish('shop', { id: '4711' });
  expect(await backend.describeQueue('paid')).toMatchObject({ depth: 1 });
});

test('initTopic makes a topic, on the default backend unless another is given', async () => {
  await using backend = new MemoryBackend();
  expect(() => new MessagingBackendFactory()).toThrow(/No backend/);
  BackendManager.setDefaultBackend(backend);
  onTestFinished(() => BackendManager.setDefaultBackend(undefined));
  await new MessagingBackendFactory().initTopic('news');
  await new TopicPublisher({ serializers }).publish('news', { n: 1 });
});
