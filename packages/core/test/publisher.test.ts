import { type Message, QueuePublisher, SerializerRegistry, TopicPublisher } from '@melange/core';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Scene } from './support/scene.ts';
import { serializers, textSerializer } from './support/text-serializer.ts';

let scene: Scene;
let topics: TopicPublisher;
beforeEach(async () => {
  scene = await Scene.open();
  const { backend, clock } = scene;
  await backend.declareQueue('orders', { deadLetterQueue: 'dead', topics: ['news'] });
  topics = new TopicPublisher({ backend, serializers, clock });
});
afterEach(() => scene.close());

/** What waits in the queue, taken out of it. */
async function received(): Promise<Message[]> {
  const messages: Message[] = [];
  const options = { maxInFlight: 10, untilEmpty: true };
  const { ended } = await scene.backend.subscribe('orders', options, (delivery) => {
    messages.push(delivery.message);
    void delivery.acknowledge();
  });
  await ended;
  return messages;
}

describe('a message', () => {
  test('has an id that sorts by time, the time of publication, and no key or headers unless given', async () => {
    const id = await scene.publisher.publish('orders', { n: 1 });
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(await received()).toEqual([
      {
        id,
        content: '{"n":1}',
        manifest: 'json',
        serializerId: 1,
        key: undefined,
        headers: {},
        publishedAt: scene.clock.now(),
      },
    ]);
  });

  test('keeps the id, key and headers that it is given, through a queue and through a topic', async () => {
    const envelope = { id: 'mine', key: 'customer-7', headers: { correlationId: 'c-1' } };
    expect(await scene.publisher.publish('orders', { n: 1 }, envelope)).toBe('mine');
    expect(await topics.publish('news', { n: 1 }, envelope)).toBe('mine');
    expect(await received()).toMatchObject([envelope, envelope]);
  });

  test('carries the conversation of its cause on, and says what it follows from', async () => {
    const causedBy = { messageId: 'm-1', correlationId: 'c-1' };
    await scene.publisher.publish('orders', { n: 1 }, { causedBy, headers: { tenant: 'shop' } });
    await topics.publish('news', { n: 1 }, { correlationId: 'c-2' });
    // What an application writes itself counts more than what follows from the cause.
    await scene.publisher.publish('orders', { n: 1 }, { causedBy, headers: { correlationId: 'c-3' } });
    await scene.publisher.publishBatch('orders', [{ value: { n: 1 }, causedBy, correlationId: 'c-4' }]);
    expect((await received()).map(({ headers }) => headers)).toEqual([
      { correlationId: 'c-1', causationId: 'm-1', tenant: 'shop' },
      { correlationId: 'c-2' },
      { correlationId: 'c-3', causationId: 'm-1' },
      { correlationId: 'c-4', causationId: 'm-1' },
    ]);
  });

  test('has the time of its publication in its id, also where the clock goes on meanwhile', async () => {
    const { backend } = scene;
    let now = 1_767_323_045_000;
    const clock = { now: () => now++, monotonicNow: () => 0, schedule: () => () => undefined };
    const publisher = new QueuePublisher({ backend, serializers, clock });
    const id = await publisher.publish('orders', {});
    const [message] = await received();
    expect(message).toMatchObject({ id, publishedAt: Number.parseInt(id.replace('-', '').slice(0, 12), 16) });
  });

  test('has an id of the source that the publisher was given', async () => {
    const { backend } = scene;
    const publisher = new QueuePublisher({ backend, serializers, ids: () => 'from the source' });
    expect(await publisher.publish('orders', {})).toBe('from the source');
  });

  test('is refused with an empty id, which would make duplicates of all that have it', async () => {
    const refused = { code: 'MESSAGE_INVALID', message: expect.stringContaining('id') };
    await expect(scene.publisher.publish('orders', {}, { id: '' })).rejects.toMatchObject(refused);
    await expect(topics.publish('news', {}, { id: '' })).rejects.toMatchObject(refused);
    const batch = [{ value: {} }, { value: {}, id: '' }];
    await expect(scene.publisher.publishBatch('orders', batch)).rejects.toMatchObject(refused);
    await expect(topics.publishBatch('news', batch)).rejects.toMatchObject(refused);
    expect(await received()).toEqual([]);
  });

  test('carries the media type that its serializer names', async () => {
    const json = { ...textSerializer, contentType: 'application/json' };
    const { backend } = scene;
    const named = new SerializerRegistry({ serializers: { json }, default: 'json' });
    await new QueuePublisher({ backend, serializers: named }).publish('orders', {});
    const slow = { ...json, serialize: async () => '{}' };
    const later = new SerializerRegistry({ serializers: { slow }, default: 'slow' });
    await new TopicPublisher({ backend, serializers: later }).publish('news', {});
    await scene.publisher.publish('orders', {});
    expect((await received()).map(({ contentType }) => contentType)).toEqual([
      'application/json',
      'application/json',
      undefined,
    ]);
  });

  test('is refused with headers that Melange uses itself', async () => {
    for (const name of ['manifest', 'serializer_id', 'melange_reason']) {
      await expect(scene.publisher.publish('orders', {}, { headers: { [name]: 'x' } })).rejects.toMatchObject(
        { code: 'MESSAGE_INVALID' },
      );
    }
  });
});

describe('a batch', () => {
  test('is published in order, each with its own envelope, and answered by its ids', async () => {
    const batch = [{ value: { n: 1 }, id: 'one' }, { value: { n: 2 } }, { value: { n: 3 }, key: 'k' }];
    const toQueue = await scene.publisher.publishBatch('orders', batch);
    const toTopic = await topics.publishBatch('news', batch);
    expect([toQueue[0], toQueue.length, new Set([...toQueue, ...toTopic]).size]).toEqual(['one', 3, 5]);
    const messages = await received();
    expect(messages.map(({ id }) => id)).toEqual([...toQueue, ...toTopic]);
    expect(messages.map(({ content }) => content)).toEqual(
      [1, 2, 3, 1, 2, 3].map((n) => JSON.stringify({ n })),
    );
    expect(messages[2]?.key).toBe('k');
  });

  test('takes the options of a publish in the same place, for every message that does not say otherwise', async () => {
    const causedBy = { messageId: 'm-1', correlationId: 'c-1' };
    const batch = [
      { value: { n: 1 } },
      { value: { n: 2 }, key: 'own', headers: { tenant: 'own', more: 'x' } },
      { value: { n: 3 }, correlationId: 'c-3' },
    ];
    const options = { key: 'k', headers: { tenant: 'shop' }, causedBy };
    await scene.publisher.publishBatch('orders', batch, options);
    await topics.publishBatch('news', batch, options);
    const chain = { correlationId: 'c-1', causationId: 'm-1' };
    const expected = [
      { key: 'k', headers: { ...chain, tenant: 'shop' } },
      { key: 'own', headers: { ...chain, tenant: 'own', more: 'x' } },
      { key: 'k', headers: { ...chain, correlationId: 'c-3', tenant: 'shop' } },
    ];
    expect((await received()).map(({ key, headers }) => ({ key, headers }))).toEqual([
      ...expected,
      ...expected,
    ]);
  });

  test('is refused with one id for all, which would make duplicates of them', async () => {
    const batch = [{ value: { n: 1 } }, { value: { n: 2 } }];
    const options = { id: 'one' } as object;
    const refused = { code: 'MESSAGE_INVALID', message: expect.stringContaining('beside its value') };
    await expect(scene.publisher.publishBatch('orders', batch, options)).rejects.toMatchObject(refused);
    await expect(topics.publishBatch('news', batch, options)).rejects.toMatchObject(refused);
    expect(await received()).toEqual([]);
  });

  test('is not sent at all when one of it cannot be serialized', async () => {
    const cyclic: Record<string, unknown> = {};
    cyclic.self = cyclic;
    const batch = [{ value: { n: 1 } }, { value: cyclic }];
    await expect(scene.publisher.publishBatch('orders', batch)).rejects.toThrow();
    await expect(topics.publishBatch('news', batch)).rejects.toThrow();
    expect(await received()).toEqual([]);
  });
});

test('the options of a publish reach the backend, of one message and of a batch', async () => {
  const told: unknown[] = [];
  const backend = Object.create(scene.backend, {
    publishToQueue: { value: async (...all: unknown[]) => void told.push(all[2]) },
    publishToTopic: { value: async (...all: unknown[]) => void told.push(all[2]) },
  }) as typeof scene.backend;
  const queues = new QueuePublisher({ backend, serializers });
  const news = new TopicPublisher({ backend, serializers });
  await queues.publish('orders', {}, { deadlineMs: 1, delayMs: 2 });
  await queues.publishBatch('orders', [{ value: {} }], { deadlineMs: 3, delayMs: 4 });
  await news.publish('news', {}, { deadlineMs: 5 });
  await news.publishBatch('news', [{ value: {} }], { deadlineMs: 6 });
  expect(told).toMatchObject([
    { deadlineMs: 1, delayMs: 2 },
    { deadlineMs: 3, delayMs: 4 },
    { deadlineMs: 5 },
    { deadlineMs: 6 },
  ]);
});

test('a destination that does not exist is an error, of a queue and of a topic', async () => {
  await expect(scene.publisher.publish('nowhere', {})).rejects.toMatchObject({ code: 'QUEUE_NOT_FOUND' });
  await expect(topics.publish('nowhere', {})).rejects.toMatchObject({ code: 'TOPIC_NOT_FOUND' });
});

test('a delay holds the message back where the backend can', async () => {
  await scene.publisher.publish('orders', { n: 1 }, { delayMs: 500 });
  expect(await received()).toEqual([]);
  await scene.clock.advance(500);
  expect(await received()).toHaveLength(1);
});
