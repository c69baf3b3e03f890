import type { Delivery, Message } from '@melange/core';
import { describe, expect, test, vi } from 'vitest';
import type { RabbitMqBackend } from '../src/index.ts';
import {
  arrived,
  backendFor,
  inbox,
  message,
  noBroker,
  queueName,
  rawChannel,
  url,
} from './support/scene.ts';

/** Whether deliveries are read before amqplib reads them; without, as with a version of it that is made otherwise. */
const inlet = vi.hoisted(() => ({ isOn: true, taken: 0 }));
vi.mock('../src/client/amqplib-internals.ts', async (original) => {
  const internals = await original<typeof import('../src/client/amqplib-internals.ts')>();
  const frameInlet: typeof internals.frameInlet = (model, reader) => {
    const found = internals.frameInlet(model, reader);
    if (!inlet.isOn || found === undefined) return undefined;
    return {
      takeFrom: (channel, take) =>
        found.takeFrom(channel, (delivery) => {
          inlet.taken += 1;
          take(delivery);
        }),
    };
  };
  return { ...internals, frameInlet };
});

const soon = { timeout: 20_000, interval: 20 };

async function scene(): Promise<{ backend: RabbitMqBackend; queue: string; dead: string }> {
  const backend = backendFor();
  const [queue, dead] = [queueName(backend), queueName(backend)];
  await backend.declareQueue(queue, { deadLetterQueue: dead });
  return { backend, queue, dead };
}

async function isEmpty(queue: string): Promise<void> {
  const channel = await rawChannel();
  await vi.waitFor(async () => expect((await channel.checkQueue(queue)).messageCount).toBe(0), soon);
}

describe.skipIf(url === '')(`receiving${url === '' ? ` (${noBroker})` : ''}`, () => {
  test('this version of amqplib has what deliveries are read by, and those that Melange wrote are', async () => {
    inlet.isOn = true;
    inlet.taken = 0;
    const { backend, queue } = await scene();
    const { deliveries, receive } = inbox((delivery) => delivery.acknowledge());
    await backend.subscribe(queue, { maxInFlight: 100 }, receive);
    for (let round = 0; round < 20; round += 1) {
      await backend.publishToQueue(
        queue,
        Array.from({ length: 10 }, (_, index) => message(`${round} ${index}`)),
      );
      await arrived(deliveries, 10 * (round + 1));
    }
    // One that is cut between two reads of the socket is amqplib's.
    expect(inlet.taken).toBeGreaterThan(150);
  });

  describe.each([
    ['where they lie', true],
    ['by amqplib', false],
  ])('%s', (_, isOn) => {
    test('messages of any length, foreign ones among them, arrive whole, in order, and are settled', async () => {
      inlet.isOn = isOn;
      inlet.taken = 0;
      const { backend, queue } = await scene();
      const channel = await rawChannel();
      const body = 131_072 - 8;
      const lengths = [0, 1, 300, 5_000, 65_535, 65_536, body - 1, body, body + 1, 3 * body, 7];
      const expected: (string | Uint8Array)[] = [];
      for (const length of lengths) {
        const text = 'é'.repeat(length / 2) + 'x'.repeat(length % 2);
        const bytes = new Uint8Array(length).fill(255);
        await backend.publishToQueue(queue, [message(text), { ...message(''), content: bytes }]);
        channel.sendToQueue(queue, Buffer.from(text), { correlationId: 'foreign' });
        await channel.waitForConfirms();
        expected.push(text, bytes, text);
      }
      const { deliveries, receive } = inbox((delivery) => delivery.acknowledge());
      const subscription = await backend.subscribe(queue, { maxInFlight: 7 }, receive);
      await arrived(deliveries, expected.length);
      for (const [index, { message: found }] of deliveries.entries()) {
        expect(Buffer.from(found.content as string).equals(Buffer.from(expected[index] as string))).toBe(
          true,
        );
        expect(typeof found.content).toBe(typeof expected[index]);
      }
      expect(inlet.taken > 0).toBe(isOn);
      await subscription.close();
      await isEmpty(queue);
    });

    test('what is retried and dead-lettered is what came, whatever the handler did to it', async () => {
      inlet.isOn = isOn;
      const { backend, queue, dead } = await scene();
      const sent: Message = {
        ...message(''),
        content: Uint8Array.of(1, 2, 3),
        key: 'customer-1',
        headers: { tenant: 'a' },
      };
      await backend.publishToQueue(queue, [sent]);
      const { deliveries, receive } = inbox((delivery) => {
        const { headers, content } = delivery.message;
        (headers as Record<string, string>).tenant = 'b';
        (content as Uint8Array).fill(0);
        return delivery.attempt === 1
          ? delivery.retry()
          : delivery.deadLetter({ reason: 'handler-failed', consumer: 'c', error: new Error('no') });
      });
      await backend.subscribe(queue, { maxInFlight: 10 }, receive);
      const letters = inbox((delivery) => delivery.acknowledge());
      await backend.subscribe(dead, { maxInFlight: 10 }, letters.receive);
      await arrived(letters.deliveries, 1);
      expect(deliveries.map(({ attempt }) => attempt)).toEqual([1, 2]);
      const { id, content, key, publishedAt } = sent;
      expect(letters.deliveries[0]?.message).toMatchObject({ id, content, key, publishedAt });
      expect(letters.deliveries[0]?.message.headers).toMatchObject({ tenant: 'a' });
      await isEmpty(queue);
    });

    test('what arrives while a subscription closes goes back to the queue', async () => {
      inlet.isOn = isOn;
      const { backend, queue } = await scene();
      const count = 5_000;
      await backend.publishToQueue(
        queue,
        Array.from({ length: count }, (_, index) => message(String(index))),
      );
      const done = new Set<string>();
      const take = async (delivery: Delivery): Promise<void> => {
        await delivery.acknowledge();
        done.add(delivery.message.id);
      };
      for (let round = 0; round < 10; round += 1) {
        let onTwentieth = (): void => undefined;
        const twentieth = new Promise<void>((resolve) => {
          onTwentieth = resolve;
        });
        const { deliveries, receive } = inbox((delivery) => {
          if (deliveries.length === 20) onTwentieth();
          return take(delivery);
        });
        const subscription = await backend.subscribe(queue, { maxInFlight: 100 }, receive);
        await twentieth;
        await subscription.close();
      }
      expect(done.size).toBeLessThan(count);
      await backend.subscribe(queue, { maxInFlight: 100 }, inbox(take).receive);
      await vi.waitFor(() => expect(done.size).toBe(count), soon);
    });
  });
});
