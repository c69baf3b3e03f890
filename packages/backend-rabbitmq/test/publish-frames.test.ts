import type { Message } from '@melange/core';
import { describe, expect, test } from 'vitest';
import { tableOf } from '../src/wire/amqplib-values.ts';
import { fieldsOf } from '../src/wire/field-table.ts';
import { encodedProperties } from '../src/wire/foreign-properties.ts';
import { type OutgoingMessage, publishOptions, toAmqp } from '../src/wire/outgoing-message.ts';
import { longestBody, longestEnvelope, PublishFrames, type Target } from '../src/wire/publish-frames.ts';
import type { Foreign } from '../src/wire/received-message.ts';
import {
  BasicProperties,
  BasicPublish,
  channel,
  encodeMethod,
  encodeProperties,
  makeBodyFrame,
  order,
  publish,
} from './support/amqplib-frames.ts';

function framesOfAmqplib({ exchange, routingKey, mandatory }: Target, message: OutgoingMessage): Buffer {
  const content = Buffer.from(message.content as string);
  const fields = publish(exchange, routingKey, { ...publishOptions(message), mandatory });
  const method = encodeMethod(BasicPublish, channel, fields);
  const properties = encodeProperties(BasicProperties, channel, content.length, fields);
  const body = content.length === 0 ? Buffer.of() : makeBodyFrame(channel, content);
  return Buffer.concat([method, properties, body]);
}

/** In the midst of other bytes, and in no more than are asked for. */
function framesOf(target: Target, message: OutgoingMessage): Buffer {
  const longest = longestEnvelope(target, message) + longestBody(message);
  const bytes = Buffer.alloc(longest + 10, 0xaa);
  const end = new PublishFrames(channel).write(bytes, 10, target, message);
  expect(end).toBeLessThanOrEqual(bytes.length);
  expect(bytes.subarray(0, 10)).toEqual(Buffer.alloc(10, 0xaa));
  return bytes.subarray(10, end);
}

/** What a message had whose copy is made. */
function foreignOf(properties: object, headers: Record<string, unknown> = {}): Foreign {
  const { table, dropped } = tableOf(headers);
  return { properties: encodedProperties(properties as never), fields: fieldsOf(table), dropped };
}

const queue: Target = { exchange: '', routingKey: 'orders', mandatory: true };
const topic: Target = { exchange: 'shop-events', routingKey: 'shop.v1.OrderPlaced', mandatory: false };
const bare = { ...order, manifest: undefined, serializerId: undefined, publishedAt: undefined };
const foreign = {
  contentType: 'application/json',
  contentEncoding: 'identity',
  correlationId: 'c-1',
  replyTo: 'answers',
  type: 'shop.order.placed',
  appId: 'shop',
  timestamp: 1_764_000_000,
  priority: 3,
};
const everyNumber = [
  0,
  127,
  128,
  -128,
  -129,
  32_767,
  32_768,
  -32_768,
  65_536,
  2 ** 31 - 1,
  2 ** 31,
  -(2 ** 31),
];

const messages: Record<string, OutgoingMessage> = {
  'an order': toAmqp(order),
  'nothing but an id': toAmqp(bare),
  'no content': toAmqp({ ...order, content: '' }),
  'no bytes': toAmqp({ ...order, content: new Uint8Array() }),
  bytes: toAmqp({ ...order, content: Uint8Array.of(0, 255, 206) }),
  'characters of one to four bytes': toAmqp({ ...order, content: 'aé€😀', manifest: 'Größe€', key: '😀' }),
  'half a character': toAmqp({ ...order, content: '\ud83d', headers: { half: '\ud83d' } }),
  'a key': toAmqp({ ...order, key: 'customer-1' }),
  'headers of the application': toAmqp({
    ...order,
    headers: { correlationId: 'c-1', empty: '', '': 'nameless' },
  }),
  'headers that route': toAmqp({ ...order, headers: { CC: 'accounting', BCC: 'audit' } }),
  'a long id': toAmqp({ ...order, id: 'é'.repeat(500) }),
  'a long header': toAmqp({ ...order, headers: { long: 'ü'.repeat(20_000) } }),
  'many headers': toAmqp({
    ...order,
    headers: Object.fromEntries(Array.from({ length: 500 }, (_, n) => [`h${n}`, ''])),
  }),
  'a type of content': toAmqp({ ...order, contentType: 'application/json' }),
  'bytes that read as text': toAmqp({ ...order, content: Uint8Array.of(1), contentType: 'application/json' }),
  'text of three bytes each that fills all of its room': toAmqp({
    ...order,
    id: '漢'.repeat(60),
    content: '漢'.repeat(500),
    manifest: '漢'.repeat(85),
    key: '字'.repeat(300),
    headers: { 漢字: '字'.repeat(1_000), 字: '漢'.repeat(1_000) },
    contentType: '漢'.repeat(85),
  }),
  'a copy that is retried': toAmqp(order, { failedBefore: 300, redeliveries: 17 }),
  'a copy of a foreign message': toAmqp(order, {
    failedBefore: 2,
    foreign: foreignOf(foreign, { count: -129, yes: true }),
  }),
  'a copy of one with a few properties': toAmqp(bare, {
    foreign: foreignOf({ contentEncoding: 'gzip', type: 'é' }),
  }),
};
for (const number of [...everyNumber, 2 ** 40 + 1, -(2 ** 40) - 1, 2 ** 53 - 1, 1.5, -0.25]) {
  messages[`the number ${number}`] = toAmqp({ ...order, publishedAt: number, headers: { number } as never });
}
for (const value of [true, false, null]) {
  messages[`a header that is ${value}`] = toAmqp({ ...order, headers: { odd: value } as never });
}

describe('the frames of a publish', () => {
  test.each(Object.entries(messages))('with %s are those of amqplib', (_, message) => {
    for (const target of [queue, topic, { ...topic, mandatory: true }]) {
      expect(framesOf(target, message)).toEqual(framesOfAmqplib(target, message));
    }
  });

  test('are told apart by exchange, routing key and whether they are mandatory, however many there are', () => {
    const frames = new PublishFrames(channel);
    const message = toAmqp(order);
    const bytes = Buffer.alloc(4_096);
    for (let round = 0; round < 2; round += 1) {
      for (let n = 0; n < 1_500; n += 1) {
        const target = { exchange: `e${n % 7}`, routingKey: `k${n}`, mandatory: n % 2 === 0 };
        const end = frames.write(bytes, 0, target, message);
        expect(bytes.subarray(0, end).equals(framesOfAmqplib(target, message))).toBe(true);
      }
    }
  });

  test.each<[string, Target, Message]>([
    ['a queue with too long a name', { ...queue, routingKey: 'q'.repeat(256) }, order],
    ['a topic with too long a name', { ...topic, exchange: 'é'.repeat(128) }, order],
    ['a header with too long a name', queue, { ...order, headers: { ['n'.repeat(256)]: '' } }],
    ['a header that is a list', queue, { ...order, headers: { list: ['a'] } as never }],
    ['a header that is a function', queue, { ...order, headers: { call: () => 'a' } as never }],
    ['a time that is none', queue, { ...order, publishedAt: Number.NaN }],
  ])('cannot be made of %s', (_, target, message) => {
    expect(() => framesOf(target, toAmqp(message))).toThrow(TypeError);
  });
});
