import { linkSynchronously, MemoryBackend } from '@melange/backend-memory';
import {
  type Consumer,
  QueuePublisher,
  SerializerRegistry,
  SingleDispatchConsumer,
  TopicPublisher,
} from '@melange/core';
import { MemoryDeduplicationCache } from '@melange/dedup-memory';
import { JsonSerializer } from '@melange/serializer-json';
import { expect, test } from 'vitest';
import { settled } from '../../core/test/support/manual-clock.ts';
import { message, open } from './support/inbox.ts';

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

/** Takes everything, `null` of tombstones included. */
function consumer(name: string, process: Consumer['process']): Consumer {
  return { name, accepts: () => true, process };
}

async function scene(handle: (message: Ordered) => void = () => undefined) {
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

test('what the publisher changes right after the call changes nothing of a batch', async () => {
  const seen: number[] = [];
  const { backend, consumers } = await scene(({ number }) => seen.push(number));
  linkSynchronously(backend, 'orders', { serializers, consumers });
  const bytes = Buffer.from('{"number":1}');
  const batch = [1, 2].map(() => ({ ...message(''), content: bytes, manifest: 'Ordered' }));
  const publishing = backend.publishToQueue('orders', batch);
  bytes.fill(' ');
  batch.length = 0;
  await publishing;
  expect(seen).toEqual([1, 1]);
});

test('every consumer runs and is waited for, though another one throws', async () => {
  const { backend, queue } = await scene();
  const done: string[] = [];
  const failure = new RangeError('declined');
  const consumers = [
    consumer('failing', () => {
      throw failure;
    }),
    consumer('slow', async () => {
      await settled();
      done.push('slow');
    }),
  ];
  linkSynchronously(backend, 'orders', { serializers, consumers });
  const error = await queue.publish('orders', new Ordered(1)).catch((error: unknown) => error);
  expect(error).toBe(failure);
  expect(done).toEqual(['slow']);
});

test('the errors of several consumers come together', async () => {
  const { backend, queue } = await scene();
  const failing = (name: string) =>
    consumer(name, () => {
      throw new Error(name);
    });
  linkSynchronously(backend, 'orders', { serializers, consumers: [failing('a'), failing('b')] });
  const error = await queue.publish('orders', new Ordered(1)).catch((error: unknown) => error);
  expect((error as AggregateError).errors).toEqual([new Error('a'), new Error('b')]);
});

test('content that cannot be decoded rejects the publish; a tombstone is null', async () => {
  const { backend } = await scene();
  const seen: unknown[] = [];
  const consumers = [consumer('one', (value) => void seen.push(value))];
  linkSynchronously(backend, 'orders', { serializers, consumers });
  const broken = backend.publishToQueue('orders', [message('a', { content: '{' })]);
  await expect(broken).rejects.toMatchObject({ code: 'SERIALIZATION' });
  await backend.publishToQueue('orders', [message('b', { content: null })]);
  expect(seen).toEqual([null]);
});

test('a message whose claim is held elsewhere rejects: nobody may take it for processed', async () => {
  const { backend, consumers, queue } = await scene();
  const cache = new MemoryDeduplicationCache();
  cache.claim('orders:c:held', { leaseMs: 60_000 });
  linkSynchronously(backend, 'orders', { serializers, consumers, cache });
  const publishing = queue.publish('orders', new Ordered(1), { id: 'held' });
  await expect(publishing).rejects.toMatchObject({ code: 'CLAIM_HELD' });
});

test('a queue has one link at most, and an ended link leaves messages to its subscribers', async () => {
  const { backend, consumers, queue } = await scene();
  const unlink = linkSynchronously(backend, 'orders', { serializers, consumers });
  expect(() => linkSynchronously(backend, 'orders', { serializers, consumers })).toThrow(/linked already/);
  unlink();
  const id = await queue.publish('orders', new Ordered(1));
  const inbox = await open(backend, 'orders');
  await settled();
  expect(inbox.seen).toEqual([`${id}#1`]);
});

test('a queue that does not exist cannot be linked, and a deleted one takes its link along', async () => {
  const { backend, consumers, queue } = await scene();
  expect(() => linkSynchronously(backend, 'nowhere', { serializers, consumers })).toThrow(/nowhere/);
  linkSynchronously(backend, 'orders', { serializers, consumers });
  await backend.deleteQueue('orders');
  await backend.declareQueue('orders');
  await queue.publish('orders', new Ordered(1));
  expect((await backend.describeQueue('orders')).depth).toBe(1);
});
