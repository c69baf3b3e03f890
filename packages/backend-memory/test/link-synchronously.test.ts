import { linkSynchronously, MemoryBackend } from '@melange/backend-memory';
import { QueuePublisher, SerializerRegistry, SingleDispatchConsumer, TopicPublisher } from '@melange/core';
import { MemoryDeduplicationCache } from '@melange/dedup-memory';
import { JsonSerializer } from '@melange/serializer-json';
import { expect, test } from 'vitest';

class Ordered {
  readonly number: number;
  constructor(number: number) {
    this.number = number;
  }
}

const serializers = new SerializerRegistry({
  serializers: { json: new JsonSerializer([Ordered]) },
  default: 'json',
});

async function scene(handle: (message: Ordered) => void) {
  const backend = new MemoryBackend();
  await backend.declareQueue('orders', { topics: ['events'] });
  const consumers = [new SingleDispatchConsumer('c').on(Ordered, handle)];
  return { backend, consumers, queue: new QueuePublisher({ backend, serializers }) };
}

test('publishing processes before it returns, directly and through a topic', async () => {
  const seen: number[] = [];
  const { backend, consumers, queue } = await scene(({ number }) => seen.push(number));
  const unlink = linkSynchronously(backend, 'orders', { serializers, consumers });
  await queue.publish('orders', new Ordered(1));
  expect(seen).toEqual([1]);
  await new TopicPublisher({ backend, serializers }).publish('events', new Ordered(2));
  expect(seen).toEqual([1, 2]);
  unlink();
  await queue.publish('orders', new Ordered(3));
  expect(seen).toEqual([1, 2]);
  expect((await backend.describeQueue('orders')).depth).toBe(1);
});

test('the error of a handler reaches the test, and nothing stays in the queue', async () => {
  const { backend, consumers, queue } = await scene(() => {
    throw new RangeError('declined');
  });
  linkSynchronously(backend, 'orders', { serializers, consumers });
  await expect(queue.publish('orders', new Ordered(1))).rejects.toThrow(RangeError);
  expect((await backend.describeQueue('orders')).depth).toBe(0);
});

test('with a cache, a duplicate is processed once, and a failure can be tried again', async () => {
  let runs = 0;
  const { backend, consumers, queue } = await scene(() => {
    runs += 1;
    if (runs === 1) throw new Error('declined');
  });
  linkSynchronously(backend, 'orders', { serializers, consumers, cache: new MemoryDeduplicationCache() });
  await expect(queue.publish('orders', new Ordered(1), { id: 'same' })).rejects.toThrow('declined');
  await queue.publish('orders', new Ordered(1), { id: 'same' });
  await queue.publish('orders', new Ordered(1), { id: 'same' });
  expect(runs).toBe(2);
});
