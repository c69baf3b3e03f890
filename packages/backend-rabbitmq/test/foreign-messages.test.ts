import { gzipSync } from 'node:zlib';
import { DeadLetterHeader } from '@melange/core';
import type { GetMessage, Options } from 'amqplib';
import { describe, expect, test, vi } from 'vitest';
import {
  type Consumed,
  consumed as consumedFrom,
  type ForeignScene,
  Order,
  orderContent,
} from '../../conformance/test/support/foreign-messages.ts';
import type { RabbitMqBackend } from '../src/index.ts';
import { publishRaw, type RawHeader } from './support/raw-amqp.ts';
import { backendFor, inbox, noBroker, queueName, rawChannel, url } from './support/scene.ts';

const soon = { timeout: 15_000, interval: 20 };

/** A queue with a dead-letter queue, both ended with the test. */
async function scene(): Promise<ForeignScene> {
  const backend = backendFor();
  const [queue, dead] = [queueName(backend), queueName(backend)];
  await backend.declareQueue(queue, { deadLetterQueue: dead });
  return { backend, queue, dead };
}

/** Consumes until so many messages were processed or dead-lettered, and then a good one that comes after them. */
function consumed(here: ForeignScene, count: number): Promise<Consumed> {
  return consumedFrom(here, count, (body) => send(here.queue, body));
}

async function send(queue: string, body: string | Uint8Array, options: Options.Publish = {}): Promise<void> {
  (await rawChannel()).sendToQueue(queue, Buffer.from(body as string), options);
}

describe.skipIf(url === '')(`messages of plain AMQP clients${url === '' ? ` (${noBroker})` : ''}`, () => {
  test('foreign messages arrive, whatever their headers are', async () => {
    const backend = backendFor();
    const queue = queueName(backend);
    await backend.declareQueue(queue);
    const raw = await rawChannel();
    const headers = { count: 3, flag: false, nested: { a: [1, 'b'] }, when: { '!': 'timestamp', value: 17 } };
    raw.sendToQueue(queue, Buffer.from('plain'), { headers, messageId: 'foreign-1' });
    raw.sendToQueue(queue, Buffer.from([0xff]), {});
    await raw.waitForConfirms();
    const received = inbox((delivery) => delivery.acknowledge());
    await (await backend.subscribe(queue, { maxInFlight: 2, untilEmpty: true }, received.receive)).ended;
    const [first, second] = received.deliveries.map((one) => one.message);
    expect(first).toMatchObject({ id: 'foreign-1', content: 'plain', manifest: undefined });
    expect(first?.headers).toMatchObject({ count: '3', flag: 'false', nested: '{"a":[1,"b"]}' });
    expect(second?.content).toEqual(Uint8Array.of(0xff));
  });

  test('without any property are read as JSON', async () => {
    const here = await scene();
    await send(here.queue, '{"from":"rabbitmqadmin"}');
    const { processed } = await consumed(here, 1);
    expect(processed[0]?.value).toEqual({ from: 'rabbitmqadmin' });
    expect(processed[0]?.context).toMatchObject({ manifest: undefined, headers: {} });
    expect(processed[0]?.context.messageId).toMatch(/./);
  });

  test('of other libraries are read with their headers, and compressed ones dead-lettered as they are', async () => {
    const here = await scene();
    const cloudEvent = { 'cloudEvents:type': 'shop.order.placed', 'cloudEvents:id': 'e-1' };
    await send(here.queue, '{"orderId":"o-1"}', {
      contentType: 'application/cloudevents+json; charset=utf-8',
      headers: cloudEvent,
      messageId: 'e-1',
      type: 'shop.order.placed',
    });
    const compressed = gzipSync('{"orderId":"o-1"}');
    await send(here.queue, compressed, { contentType: 'application/json', contentEncoding: 'gzip' });
    const { processed, deadLetters } = await consumed(here, 2);
    expect(processed[0]?.value).toEqual({ orderId: 'o-1' });
    expect(processed[0]?.context).toMatchObject({ messageId: 'e-1', headers: cloudEvent });
    expect(Buffer.from(deadLetters[0]?.content as Uint8Array).equals(compressed)).toBe(true);
    expect(deadLetters[0]?.headers[DeadLetterHeader.errorMessage]).toContain('"gzip"');
  });

  test('keep what says how to read and answer them, on copies that are retried and dead-lettered', async () => {
    const { backend, queue, dead } = await scene();
    const properties = {
      contentType: 'application/json',
      contentEncoding: 'identity',
      correlationId: 'c-1',
      replyTo: 'answers',
      type: 'shop.order.placed',
      appId: 'shop',
      timestamp: 1_764_000_000,
      priority: 3,
    };
    await send(queue, '{"orderId":"o-1"}', { ...properties, messageId: 'm-1', expiration: '3600000' });
    const received = inbox((delivery) =>
      delivery.attempt === 1
        ? delivery.retry({ delayMs: 10 })
        : delivery.deadLetter({ reason: 'rejected', error: new Error('no') }),
    );
    await backend.subscribe(queue, { maxInFlight: 1 }, received.receive);
    const raw = await rawChannel();
    const copy = await vi.waitFor(async () => {
      const got = await raw.get(dead, { noAck: true });
      expect(got).not.toBe(false);
      return got as GetMessage;
    }, soon);
    expect(copy.properties).toMatchObject({ ...properties, messageId: 'm-1', expiration: undefined });
    expect(copy.content.toString()).toBe('{"orderId":"o-1"}');
  });

  test('with the documented headers are read as what they say, numbers as numbers or text', async () => {
    const here = await scene();
    const headers = { manifest: 'shop.Order', serializer_id: '3', message_id: 'm-1', correlationId: 'c' };
    await send(here.queue, orderContent, { headers });
    await send(here.queue, orderContent, {
      headers: { ...headers, serializer_id: 3 },
      contentType: 'application/octet-stream',
    });
    const { processed } = await consumed(here, 2);
    for (const { value, context } of processed) {
      expect(value).toEqual(Object.assign(new Order(), { id: 'o-1' }));
      expect(context).toMatchObject({ messageId: 'm-1', headers: { correlationId: 'c' } });
    }
  });

  test('of bytes that are no text, an empty one and a huge one are dead-lettered as they came', async () => {
    const here = await scene();
    const bytes = Uint8Array.of(0xff, 0xfe, 0, 0x80);
    const huge = Buffer.alloc(8_000_000, 'x');
    await send(here.queue, bytes);
    await send(here.queue, '');
    await send(here.queue, huge);
    const { deadLetters } = await consumed(here, 3);
    const bySize = deadLetters.toSorted(
      (one, other) => (one.content?.length ?? 0) - (other.content?.length ?? 0),
    );
    expect(bySize.map(({ content }) => content?.length)).toEqual([0, 4, 8_000_000]);
    expect(bySize[1]?.content).toEqual(bytes);
    expect(bySize[2]?.content === huge.toString()).toBe(true);
    for (const { headers } of deadLetters) expect(headers[DeadLetterHeader.reason]).toBe('undecodable');
  });

  test('with headers that make no sense are read by the default serializer, or dead-lettered', async () => {
    const here = await scene();
    await send(here.queue, '1', { headers: { serializer_id: 'three', published_at: 'yesterday' } });
    await send(here.queue, '2', { headers: { serializer_id: null, manifest: null } });
    await send(here.queue, '3', { headers: { serializer_id: 99 } });
    await send(here.queue, '4', { headers: { serializer_id: 1, manifest: { nested: ['table'] } } });
    await send(here.queue, '5', { headers: { serializer_id: 1.5, melange_attempt: 'many' } });
    const { processed, deadLetters } = await consumed(here, 5);
    expect(processed.map(({ value }) => value).sort()).toEqual([1, 2]);
    expect(deadLetters.map(({ content }) => content).sort()).toEqual(['3', '4', '5']);
  });

  test('with the same header twice, binary ones and empty ones keep what can be kept', async () => {
    const here = await scene();
    const text = (value: string) => Buffer.from(value);
    // Of two headers of one name RabbitMQ 3 delivers both, of which the last one counts, and RabbitMQ 4 the first alone.
    const headers: RawHeader[] = [
      ['twice', 'S', text('first')],
      ['twice', 'S', text('second')],
      ['binary', 'S', Uint8Array.of(0xff, 0, 0xc3)],
      ['bytes', 'x', text('é')],
      ['none', 'V', Buffer.alloc(0)],
      ['yes', 't', Uint8Array.of(1)],
      ['number', 'I', Uint8Array.of(0, 0, 1, 0)],
      ['', 'S', text('without a name')],
      ['__proto__', 'S', text('polluting')],
      ['constructor', 'S', text('c')],
      ['serializer_id', 'S', text('2')],
    ];
    await publishRaw(url, here.queue, [{ body: Buffer.from('"odd"'), headers }]);
    await publishRaw(url, here.queue, [{ body: Buffer.from('"fine"'), headers: headers.slice(0, 10) }]);
    const { processed, deadLetters } = await consumed(here, 2);
    expect(processed[0]?.value).toBe('fine');
    expect(processed[0]?.context.headers).toMatchObject({
      twice: expect.stringMatching(/^(first|second)$/),
      binary: '\ufffd\u0000\ufffd',
      bytes: 'w6k=',
      none: 'null',
      yes: 'true',
      number: '256',
      '': 'without a name',
      constructor: 'c',
    });
    expect(Object.getPrototypeOf(processed[0]?.context.headers)).toBe(Object.prototype);
    expect(deadLetters).toMatchObject([{ content: '"odd"', serializerId: 2 }]);
  });

  test('that were sent to several queues by their headers are retried and dead-lettered once', async () => {
    const here = await scene();
    const other = queueName(here.backend as RabbitMqBackend);
    await here.backend.declareQueue(other);
    const headers = { CC: [other], BCC: [other] };
    for (const body of ['"fails"', 'undecodable']) await send(here.queue, body, { headers });
    const { processed, deadLetters } = await consumed(here, 2);
    expect(processed.map(({ value }) => value)).toEqual(['fails', 'fails']);
    expect(deadLetters.map(({ content }) => content).sort()).toEqual(['"fails"', 'undecodable']);
    // As their sender had it: a copy of ours goes to no queue besides.
    expect(await here.backend.describeQueue(other)).toMatchObject({ depth: 2 });
    for (const { headers: kept } of deadLetters) expect(kept.CC).toBe(JSON.stringify([other]));
  });

  test.each([64, 100])(
    'with a header of %i kB are processed, retried and dead-lettered whole',
    async (kilobytes) => {
      const here = await scene();
      const long = Buffer.alloc(kilobytes * 1024, 'h');
      const headers: RawHeader[] = [['long', 'S', long]];
      const bodies = ['"good"', '"fails"', 'undecodable'];
      await publishRaw(
        url,
        here.queue,
        bodies.map((body) => ({ body: Buffer.from(body), headers })),
      );
      const { processed, deadLetters } = await consumed(here, 3);
      expect(processed.map(({ value }) => value).sort()).toEqual(['fails', 'fails', 'good']);
      for (const { context } of processed) expect(context.headers.long?.length).toBe(long.length);
      expect(deadLetters.map(({ content }) => content).sort()).toEqual(['"fails"', 'undecodable']);
      for (const copy of deadLetters) expect(copy.headers.long?.length).toBe(long.length);
    },
  );

  test('pickled by Python are dead-lettered raw with an error that says why, and never decoded', async () => {
    const here = await scene();
    const pickled = Buffer.from(
      'gASVMQAAAAAAAACMCF9fbWFpbl9flIwHUGF5bWVudJSTlCmBlH2UjAlyZWZlcmVuY2WUjANwLTGUc2Iu',
      'base64',
    );
    await send(here.queue, pickled, { headers: { serializer_id: 2, manifest: 'Payment' } });
    const { deadLetters } = await consumed(here, 1);
    expect(Buffer.from(deadLetters[0]?.content as Uint8Array).equals(pickled)).toBe(true);
    expect(deadLetters[0]?.headers[DeadLetterHeader.errorMessage]).toContain('pickle');
  });
});
