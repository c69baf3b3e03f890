import { limitPublisher, type MessagePublisher, QueuePublisher, TopicPublisher } from '@melange/core';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Scene } from './support/scene.ts';
import { serializers } from './support/text-serializer.ts';

class Placed {
  readonly orderId: string = '1';
}
class Paid {
  readonly orderId: string = '1';
}

let scene: Scene;
beforeEach(async () => {
  scene = await Scene.open();
});
afterEach(() => scene.close());

/** What a test of a user writes: nothing of it is private. */
class FakePublisher implements MessagePublisher {
  readonly published: [destination: string, value: unknown][] = [];
  async publish(destination: string, value: unknown): Promise<string> {
    this.published.push([destination, value]);
    return String(this.published.length);
  }
  async publishBatch(destination: string, batch: readonly { readonly value: unknown }[]): Promise<string[]> {
    return Promise.all(batch.map(({ value }) => this.publish(destination, value)));
  }
}

test('a limited publisher takes instances of its classes, and nothing that only looks like them', async () => {
  const fake = new FakePublisher();
  const events = limitPublisher(fake, 'order-events', [Placed]);
  const placed = new Placed();
  expect(await events.publish(placed)).toBe('1');
  expect(await events.publishBatch([{ value: placed }, { value: placed }])).toEqual(['2', '3']);
  const refused = {
    code: 'MESSAGE_INVALID',
    message: expect.stringContaining('carries instances of Placed'),
  };
  await expect(events.publish({ ...placed })).rejects.toMatchObject(refused);
  await expect(events.publish(new Paid())).rejects.toMatchObject(refused);
  await expect(events.publishBatch([{ value: placed }, { value: { ...placed } }])).rejects.toMatchObject(
    refused,
  );
  expect(fake.published).toEqual(Array.from({ length: 3 }, () => ['order-events', placed]));
});

test('the publishers of the core are message publishers, their options included', async () => {
  const { backend } = scene;
  await backend.declareQueue('orders', { deadLetterQueue: 'dead', topics: ['news'] });
  const toQueue = limitPublisher(new QueuePublisher({ backend, serializers }), 'orders', [Object]);
  const toTopic = limitPublisher(new TopicPublisher({ backend, serializers }), 'news', [Object]);
  await toQueue.publish({ n: 1 }, { key: 'a', delayMs: 0 });
  await toTopic.publish({ n: 2 }, { id: 'mine' });
  expect(await scene.depth()).toBe(2);
});
