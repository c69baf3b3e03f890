import { createHash } from 'node:crypto';
import { TcpProxy } from '@melange/conformance';
import type { Message } from '@melange/core';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { frameOutlet } from '../src/client/amqplib-internals.ts';
import type { RabbitMqBackend } from '../src/index.ts';
import {
  arrived,
  backendFor,
  inbox,
  message,
  noBroker,
  queueName,
  rawChannel,
  unique,
  url,
} from './support/scene.ts';

const soon = { timeout: 20_000, interval: 20 };

/** Whether frames are written past amqplib's own `publish`; without, as with a version of it that is made otherwise. */
const withFrames = vi.hoisted(() => ({ isOn: true }));
vi.mock('../src/client/amqplib-internals.ts', async (original) => {
  const internals = await original<typeof import('../src/client/amqplib-internals.ts')>();
  return {
    ...internals,
    frameOutlet: (channel: never) => (withFrames.isOn ? internals.frameOutlet(channel) : undefined),
  };
});

/** Of texts and bytes that are too long to be compared, and of which kind they are. */
function digest(content: unknown): string {
  return `${typeof content} ${createHash('sha1')
    .update(content as string)
    .digest('hex')}`;
}

async function contents(backend: RabbitMqBackend, queue: string, count: number): Promise<unknown[]> {
  const received = inbox((delivery) => delivery.acknowledge());
  const subscription = await backend.subscribe(queue, { maxInFlight: 50 }, received.receive);
  await arrived(received.deliveries, count);
  await subscription.close();
  return received.deliveries.map((one) => one.message.content);
}

describe.skipIf(url === '')(`publishing${url === '' ? ` (${noBroker})` : ''}`, () => {
  test('this version of amqplib has what frames are written by, until the channel ends', async () => {
    withFrames.isOn = true;
    const channel = await rawChannel();
    expect(frameOutlet(channel)).toMatchObject({ channel: 1, largestFrame: 131_072 });
    await channel.close();
    expect(frameOutlet(channel)).toBeUndefined();
  });

  describe.each([
    ['frames', true],
    ['the channel', false],
  ])('by %s', (_, isOn) => {
    test('texts and bytes of any length arrive whole and in order', async () => {
      withFrames.isOn = isOn;
      const backend = backendFor();
      const queue = queueName(backend);
      await backend.declareQueue(queue);
      const body = 131_072 - 8;
      const lengths = [0, 1, 5_000, 16_383, 16_385, 65_535, 65_536, body - 1, body, body + 1, 3 * body, 7];
      const sent: Message[] = lengths.flatMap((length) => [
        message('é'.repeat(length / 2) + 'x'.repeat(length % 2)),
        { ...message(''), content: new Uint8Array(length).fill(255) },
      ]);
      await Promise.all(sent.map((one) => backend.publishToQueue(queue, [one])));
      const arrivals = await contents(backend, queue, sent.length);
      expect(arrivals.map(digest)).toEqual(sent.map(({ content }) => digest(content)));
    });

    test('what cannot be sent, or goes nowhere, fails alone; the others arrive', async () => {
      withFrames.isOn = isOn;
      const backend = backendFor();
      const queue = queueName(backend);
      await backend.declareQueue(queue);
      const odd = { ...message('odd'), headers: { ['n'.repeat(300)]: 'too long a name' } };
      const settled = await Promise.allSettled([
        backend.publishToQueue(queue, [message('1')]),
        backend.publishToQueue(queue, [message('2'), odd, message('3')]),
        backend.publishToQueue('q'.repeat(300), [message('nowhere')]),
        backend.publishToQueue(unique(), [message('nowhere')]),
        backend.publishToQueue(queue, [message('4')]),
      ]);
      expect(settled.map(({ status }) => status)).toEqual([
        'fulfilled',
        'rejected',
        'rejected',
        'rejected',
        'fulfilled',
      ]);
      expect(settled[1]).toMatchObject({
        reason: { failures: [{ messageId: odd.id, error: { code: 'MESSAGE_INVALID' } }] },
      });
      expect(settled[2]).toMatchObject({ reason: { code: 'CONFIGURATION' } });
      expect(settled[3]).toMatchObject({ reason: { code: 'QUEUE_NOT_FOUND' } });
      expect(await contents(backend, queue, 4)).toEqual(['1', '2', '3', '4']);
    });

    test('more than the connection takes waits until the broker reads, and arrives in order', async () => {
      withFrames.isOn = isOn;
      const { hostname: host, port } = new URL(url);
      const proxy = await TcpProxy.start({ host, port: Number(port || 5672) });
      onTestFinished(() => proxy[Symbol.asyncDispose]());
      const address = Object.assign(new URL(url), { host: `127.0.0.1:${proxy.address.port}` });
      const backend = backendFor({ url: address.href });
      const direct = backendFor();
      const queue = queueName(direct);
      await direct.declareQueue(queue);
      await backend.publishToQueue(queue, [message('connects')]);
      proxy.stall();
      const texts = Array.from({ length: 3_000 }, (_, n) => `${n}`.padEnd(4_000));
      const publishing = texts.map((text) => backend.publishToQueue(queue, [message(text)]));
      await expect(
        backend.publishToQueue(queue, [message('too late')], { deadlineMs: 300 }),
      ).rejects.toMatchObject({ code: 'PUBLISH_FAILED' });
      proxy.resume();
      await Promise.all(publishing);
      expect(await contents(direct, queue, 3_001)).toEqual(['connects', ...texts]);
      // What was too late had not been sent.
      expect(await direct.describeQueue(queue)).toMatchObject({ depth: 0 });
    });

    test('what the broker refuses is sent again until there is room, or its deadline', async () => {
      withFrames.isOn = isOn;
      const backend = backendFor();
      const queue = queueName(backend);
      const raw = await rawChannel();
      await raw.assertQueue(queue, { arguments: { 'x-max-length': 1, 'x-overflow': 'reject-publish' } });
      await backend.publishToQueue(queue, [message('fits')]);
      const late = message('too late');
      const publishing = backend.publishToQueue(queue, [late], { deadlineMs: 300 });
      const waiting = backend.publishToQueue(queue, [message('waits for room')]);
      await expect(publishing).rejects.toMatchObject({
        failures: [
          { messageId: late.id, error: { code: 'QUEUE_FULL', message: expect.stringContaining(queue) } },
        ],
      });
      expect(await raw.get(queue, { noAck: true })).toMatchObject({ content: Buffer.from('fits') });
      await waiting;
      // Else the one that was given up would have taken the room.
      expect(await raw.get(queue, { noAck: true })).toMatchObject({ content: Buffer.from('waits for room') });
    });
  });

  test('headers that are larger than the frames agreed with the broker fail, and cost nobody the connection', async () => {
    withFrames.isOn = true;
    const backend = backendFor({ url: `${url}?frameMax=8192` });
    const queue = queueName(backend);
    await backend.declareQueue(queue);
    const large = { ...message('large'), headers: { note: 'x'.repeat(9_000) } };
    const publishing = backend.publishToQueue(queue, [message('small'), large]);
    await expect(publishing).rejects.toMatchObject({
      failures: [{ messageId: large.id, error: { code: 'MESSAGE_TOO_LARGE' } }],
    });
    await backend.publishToQueue(queue, [message('x'.repeat(20_000))]);
    await vi.waitFor(async () => expect((await backend.describeQueue(queue)).depth).toBe(2), soon);
  });
});
