import type { Message } from '@melange/core';
import { describe, expect, test } from 'vitest';
import { DeliveryFrames } from '../src/wire/delivery-frames.ts';
import { publishOptions, toAmqp } from '../src/wire/outgoing-message.ts';
import { type Received, receivedOf } from '../src/wire/received-message.ts';
import { channel, decodeFrame, makeBodyFrame, order, parseFrame } from './support/amqplib-frames.ts';
import { deliveryFrames as frames } from './support/delivery.ts';

function readByAmqplib(bytes: Buffer): Received {
  let rest = bytes;
  const decoded: { readonly fields?: object; readonly content?: Buffer }[] = [];
  for (let frame = parseFrame(rest, 0); frame !== false; frame = parseFrame(rest, 0)) {
    decoded.push(decodeFrame(frame));
    rest = frame.rest;
  }
  const [method, header, body] = decoded;
  const content = body?.content ?? Buffer.alloc(0);
  return receivedOf({ fields: method?.fields, properties: header?.fields, content } as never);
}

/** Reads what is there of deliveries of the channel, in the midst of other bytes. */
function read(bytes: Buffer, isOpen = (): boolean => true): { length: number; taken: Received[] } {
  const taken: Received[] = [];
  const reader = new DeliveryFrames();
  reader.add(channel, { isOpen, take: (delivery) => void taken.push(delivery) });
  const among = Buffer.alloc(bytes.length + 20, 0xaa);
  bytes.copy(among, 10);
  return { length: reader.read(among.subarray(10, 10 + bytes.length)), taken };
}

const everyNumber = [0, 127, 128, -128, -129, 32_767, 32_768, -32_769, 2 ** 31 - 1, 2 ** 31, -(2 ** 31) - 1];
const own: Record<string, Message> = {
  'an order': order,
  'nothing but an id': { ...order, manifest: undefined, serializerId: undefined, publishedAt: undefined },
  'no content': { ...order, content: '' },
  'no bytes': { ...order, content: new Uint8Array() },
  bytes: { ...order, content: Uint8Array.of(0, 255, 206) },
  'characters of one to four bytes': { ...order, content: 'aé€😀', manifest: 'Größe€', key: '😀' },
  'a key': { ...order, key: 'customer-1' },
  'headers of the application': { ...order, headers: { correlationId: 'c-1', empty: '', '': 'nameless' } },
  'a long id': { ...order, id: 'é'.repeat(500) },
  'a long header': { ...order, headers: { long: 'ü'.repeat(20_000) } },
};
for (const number of [0, 9, 10, 2 ** 31, 2 ** 40 + 1, 999_999_999_999_999]) {
  own[`the number ${number}`] = { ...order, publishedAt: number };
}
for (const contentType of ['application/json', 'application/x-protobuf', 'image/png']) {
  for (const content of ['{}', Uint8Array.of(0x7b, 0x7d)]) {
    own[`${typeof content} of ${contentType}`] = { ...order, content, contentType };
  }
}

describe('a delivery of a message that Melange wrote', () => {
  test.each(Object.entries(own))('with %s is read as by amqplib', (_, message) => {
    for (const redelivered of [false, true]) {
      const bytes = Buffer.concat(frames(message, { fields: { deliveryTag: 2 ** 33 + 5, redelivered } }));
      const expected = readByAmqplib(bytes);
      const { length, taken } = read(bytes);
      expect(length).toBe(bytes.length);
      expect(taken).toHaveLength(1);
      expect(taken[0]).toMatchObject({ tag: 2 ** 33 + 5, attempt: 1, redeliveries: Number(redelivered) });
      expect(expected).toMatchObject({ attempt: 1, redeliveries: Number(redelivered) });
      expect(taken[0]?.message).toEqual(expected.message);
      expect(taken[0]?.message).toEqual(message);
      expect(taken[0]?.original().message).toEqual(message);
    }
  });

  const numbers = [...everyNumber, 2 ** 40 + 1, -(2 ** 40) - 1, Number.MAX_SAFE_INTEGER];
  test.each(numbers)('of a version that wrote the number %d as a number is read', (number) => {
    const properties = {
      contentEncoding: undefined,
      headers: { ...publishOptions(toAmqp(order)).headers, serializer_id: 1, published_at: number },
    };
    const bytes = Buffer.concat(frames(order, { properties }));
    const { length, taken } = read(bytes);
    expect(length).toBe(bytes.length);
    expect(taken.map(({ message }) => message)).toEqual([{ ...order, publishedAt: number }]);
    expect(readByAmqplib(bytes).message).toEqual({ ...order, publishedAt: number });
  });

  test('is the original, whatever was done to the message', () => {
    const content = Uint8Array.of(1, 2, 3);
    const { taken } = read(Buffer.concat(frames({ ...order, content, headers: { tenant: 'a' } })));
    const [delivery] = taken as [Received];
    (delivery.message.content as Uint8Array).fill(0);
    (delivery.message.headers as Record<string, string>).tenant = 'b';
    expect(delivery.original().message).toMatchObject({ content, headers: { tenant: 'a' } });
  });

  test('is taken once it is there whole, wherever it was cut', () => {
    const ends: number[] = [];
    const three = Buffer.concat(
      [order, { ...order, content: '' }, { ...order, key: 'k' }].flatMap((message, index) => {
        const one = Buffer.concat(frames(message, { fields: { deliveryTag: index + 1 } }));
        ends.push((ends.at(-1) ?? 0) + one.length);
        return [one];
      }),
    );
    for (let cut = 0; cut <= three.length; cut += 1) {
      const { length, taken } = read(three.subarray(0, cut));
      const whole = ends.filter((end) => end <= cut);
      expect(length).toBe(whole.at(-1) ?? 0);
      expect(taken.map(({ tag }) => tag)).toEqual(whole.map((_, index) => index + 1));
    }
  });
});

describe('left to amqplib', () => {
  const whole = frames(order);
  const [method, header, body] = whole as [Buffer, Buffer, Buffer];
  const changed = (frame: Buffer, at: number, byte: number): Buffer => {
    const copy = Buffer.from(frame);
    copy[at < 0 ? copy.length + at : at] = byte;
    return copy;
  };
  const headers = publishOptions(toAmqp(order)).headers as object;
  const withHeader = (extra: object): Buffer[] =>
    frames(order, { properties: { headers: { ...headers, ...extra } } });
  const content = Buffer.from(order.content as string);
  /** Behind the frame's head, the class and a field that is not used. */
  const contentSizeAt = 7 + 4;
  /** The last header and with it the table are so much longer that they end in the frame of the content. */
  const tableIntoContent = (): Buffer => {
    const [, properties] = frames({ ...order, key: 'k' }) as [Buffer, Buffer];
    const contentType = contentSizeAt + 8 + 2;
    const table = contentType + 1 + (properties[contentType] as number);
    const key = properties.indexOf('melange_key') + 'melange_key'.length + 1;
    for (const at of [table, key]) properties.writeUInt32BE(properties.readUInt32BE(at) + 50, at);
    return properties;
  };

  test.each<[string, Buffer[]]>([
    ['a message of two frames', frames(order, { bodies: [content.subarray(0, 4), content.subarray(4)] })],
    ['a message without an id of ours', withHeader({ message_id: undefined })],
    ['an id that is a number', withHeader({ message_id: 17 })],
    ['a manifest that is none', withHeader({ manifest: true })],
    ['an empty id', withHeader({ message_id: '' })],
    ['a serializer that is no number', withHeader({ serializer_id: '1 ' })],
    ['a serializer that is nothing', withHeader({ serializer_id: '' })],
    ['a time before its beginning', withHeader({ published_at: '-1' })],
    ['more digits than a number holds', withHeader({ published_at: '1234567890123456' })],
    ['a time with a fraction', withHeader({ published_at: 1.5 })],
    ['what the broker counted', withHeader({ 'x-delivery-count': 2 })],
    ['what the broker returned or dead-lettered', withHeader({ 'x-death': [{ count: 1 }] })],
    ['a copy that is retried', withHeader({ melange_attempt: 2 })],
    ['a header that travels under another name', withHeader({ melange_header_CC: 'a' })],
    ['a header that is a list', withHeader({ list: ['a'] })],
    ['a header that is bytes', withHeader({ bytes: Buffer.of(1) })],
    ['a header that is a number', withHeader({ number: 17 })],
    ['a header that is null', withHeader({ nothing: null })],
    [
      'text of a type that others write, too',
      frames(order, { properties: { contentType: 'application/json', contentEncoding: undefined } }),
    ],
    ['a content encoding', frames(order, { properties: { contentEncoding: 'gzip' } })],
    ['a copy that was redelivered', withHeader({ melange_redeliveries: '2' })],
    ['no content type', frames(order, { properties: { contentType: undefined } })],
    ['a property that is not ours', frames(order, { properties: { correlationId: 'c-1' } })],
    ['no headers', frames(order, { properties: { headers: undefined } })],
    ['text that is no UTF-8', frames(order, { bodies: [Buffer.alloc(content.length, 0xff)] })],
    ['another channel', frames(order, { on: 3 })],
    ['another channel in between', [method, ...frames(order, { on: 3 })]],
    ['properties on another channel', [method, frames(order, { on: 3 })[1] as Buffer, body]],
    ['content on another channel', [method, header, makeBodyFrame(3, content)]],
    ['content of more than 4 GiB', [method, changed(header, contentSizeAt + 3, 1), body]],
    ['headers that go on into the content', [method, tableIntoContent(), body]],
    ['a method without its end', [changed(method, -1, 0), header, body]],
    ['properties without their end', [method, changed(header, -1, 0), body]],
    ['content without its end', [method, header, changed(body, -1, 0)]],
    ['a header longer than its table', [method, changed(header, header.indexOf(order.id) - 1, 0xff), body]],
    ['a heartbeat', [Buffer.of(8, 0, 0, 0, 0, 0, 0, 0xce), ...whole]],
    ['content that nothing announced', [body, ...whole]],
    ['no delivery but a message got', [changed(method, 10, 71), header, body]],
    [
      'more content than was announced',
      [method, header, makeBodyFrame(channel, changed(Buffer.alloc(99), content.length, 0xce))],
    ],
  ])('%s', (_, pieces) => {
    expect(read(Buffer.concat(pieces))).toEqual({ length: 0, taken: [] });
    // And what it follows is taken.
    const after = read(Buffer.concat([...whole, ...pieces]));
    expect(after.length).toBe(Buffer.concat(whole).length);
    expect(after.taken).toHaveLength(1);
  });

  test('all that comes after the channel has ended', () => {
    let isOpen = true;
    const reader = new DeliveryFrames();
    const take = (): void => {
      isOpen = false;
    };
    reader.add(channel, { isOpen: () => isOpen, take });
    const one = Buffer.concat(whole);
    expect(reader.read(Buffer.concat([one, one]))).toBe(one.length);
  });

  test('nothing is read past its end, whichever byte of lengths and types is wrong', () => {
    const bytes = Buffer.concat(whole);
    for (let at = 0; at < method.length + header.length; at += 1) {
      for (const byte of [0, 1, 0x7f, 0xff]) {
        const { length, taken } = read(changed(bytes, at, byte));
        // Content that is announced to be empty has no frame.
        expect([0, bytes.length - body.length, bytes.length]).toContain(length);
        if (length === bytes.length) expect(taken[0]?.message.content).toBe(order.content);
      }
    }
  });
});
