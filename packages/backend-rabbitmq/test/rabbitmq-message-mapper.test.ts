import { MelangeError, type Message, WireHeader } from '@melange/core';
import type { Message as AmqpMessage } from 'amqplib';
import { describe, expect, test } from 'vitest';
import {
  attemptOf,
  fromAmqp,
  type OutgoingMessage,
  publishOptions,
  routingKeyOf,
  toAmqp,
} from '../src/rabbitmq-message-mapper.ts';

const message: Message = {
  id: '0190f3c2-0000-7000-8000-000000000001',
  content: '{"orderId":"17"}',
  manifest: 'shop.v1.OrderPlaced',
  serializerId: 1,
  key: 'customer-1',
  headers: { correlationId: 'c-1' },
  publishedAt: 1_700_000_000_000,
};

function received(content: Buffer, properties: object, fields: object = {}): AmqpMessage {
  return { content, properties, fields: { redelivered: false, ...fields } } as unknown as AmqpMessage;
}

/** As it is received, if amqplib sends it. */
function arrived(outgoing: OutgoingMessage): AmqpMessage {
  return received(Buffer.from(outgoing.content as string), publishOptions(outgoing));
}

function headersOf(outgoing: OutgoingMessage): Record<string, unknown> {
  return publishOptions(outgoing).headers as Record<string, unknown>;
}

describe('a message on its way out', () => {
  test('has its envelope in headers, its id in the properties too, and is persistent', () => {
    const outgoing = toAmqp(message);
    expect(outgoing.content).toBe('{"orderId":"17"}');
    expect(publishOptions(outgoing)).toEqual({
      persistent: true,
      messageId: message.id,
      contentType: 'text/plain; charset=utf-8',
      headers: {
        correlationId: 'c-1',
        manifest: 'shop.v1.OrderPlaced',
        serializer_id: 1,
        message_id: message.id,
        published_at: 1_700_000_000_000,
        melange_key: 'customer-1',
      },
    });
  });

  test('comes back the same, as text and as bytes', () => {
    const binary = { ...message, content: Uint8Array.of(0, 255, 65) };
    expect(fromAmqp(arrived(toAmqp(message)))).toEqual(message);
    expect(fromAmqp(arrived(toAmqp(binary)))).toEqual(binary);
    // Bytes that happen to be text stay bytes.
    const ascii = { ...message, content: new Uint8Array(Buffer.from('abc')) };
    expect(fromAmqp(arrived(toAmqp(ascii)))).toEqual(ascii);
  });

  test('a copy that is retried carries its attempts, which are not among the headers', () => {
    const copy = toAmqp(message, 2);
    expect(headersOf(copy)[WireHeader.attempt]).toBe(2);
    expect(fromAmqp(arrived(copy)).headers).toEqual({ correlationId: 'c-1' });
    expect(attemptOf(arrived(copy))).toBe(3);
  });

  test('a header by which the broker would route travels under another name', () => {
    const headers = { CC: 'accounting', BCC: 'audit', cc: 'lower case' };
    const outgoing = toAmqp({ ...message, headers });
    expect(Object.keys(headersOf(outgoing))).not.toContain('CC');
    expect(Object.keys(headersOf(outgoing))).not.toContain('BCC');
    expect(fromAmqp(arrived(outgoing)).headers).toEqual(headers);
  });

  test('a tombstone is refused', () => {
    expect(() => toAmqp({ ...message, content: null })).toThrow(
      expect.objectContaining({ code: 'UNSUPPORTED' }),
    );
  });

  test('an id longer than AMQP takes is whole in the header and shortened at a character in the property', () => {
    const id = 'é'.repeat(200);
    const { messageId } = toAmqp({ ...message, id });
    expect(Buffer.byteLength(messageId)).toBeLessThanOrEqual(255);
    expect(messageId).not.toBe('');
    expect(id.startsWith(messageId)).toBe(true);
    expect(fromAmqp(arrived(toAmqp({ ...message, id }))).id).toBe(id);
  });

  test('headers that would cost everybody the connection are refused', () => {
    const headers = { note: 'x'.repeat(130_000) };
    try {
      toAmqp({ ...message, headers });
      expect.unreachable();
    } catch (error) {
      expect(MelangeError.is(error, 'MESSAGE_TOO_LARGE')).toBe(true);
    }
  });
});

describe('a message of another client', () => {
  test('without anything has an id and its content', () => {
    const foreign = fromAmqp(received(Buffer.from('hello'), {}));
    expect(foreign).toEqual({
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      content: 'hello',
      manifest: undefined,
      serializerId: undefined,
      key: undefined,
      headers: {},
      publishedAt: undefined,
    });
  });

  test('takes its id from the properties', () => {
    expect(fromAmqp(received(Buffer.from(''), { messageId: 'm-1' })).id).toBe('m-1');
  });

  test('has numbers of its envelope as numbers or as text', () => {
    const headers = { serializer_id: '3', published_at: '17' };
    expect(fromAmqp(received(Buffer.from(''), { headers }))).toMatchObject({
      serializerId: 3,
      publishedAt: 17,
    });
    const odd = fromAmqp(
      received(Buffer.from(''), { headers: { serializer_id: 'three', published_at: '' } }),
    );
    expect(odd).toMatchObject({ serializerId: undefined, publishedAt: undefined });
  });

  test('has every header value as text', () => {
    const headers = { n: 4, yes: true, bytes: Buffer.from('é'), table: { a: [1n] }, none: null };
    expect(fromAmqp(received(Buffer.from(''), { headers })).headers).toEqual({
      n: '4',
      yes: 'true',
      bytes: 'é',
      table: '{"a":["1"]}',
      none: 'null',
    });
  });

  test('is bytes where it is no text', () => {
    expect(fromAmqp(received(Buffer.from([0xff, 0xfe]), { contentType: 'text/plain' })).content).toEqual(
      Uint8Array.of(0xff, 0xfe),
    );
  });

  test('keeps what the broker adds out of its headers', () => {
    const headers = {
      'x-death': [{ count: 1 }],
      'x-delivery-count': 2,
      'x-first-death-queue': 'q',
      'x-mine': '1',
    };
    expect(fromAmqp(received(Buffer.from(''), { headers })).headers).toEqual({ 'x-mine': '1' });
  });
});

test('attempts are those of the copy, those that the broker counted, and this one', () => {
  const body = Buffer.from('');
  expect(attemptOf(received(body, {}))).toBe(1);
  expect(attemptOf(received(body, {}, { redelivered: true }))).toBe(2);
  expect(attemptOf(received(body, { headers: { 'x-delivery-count': 3 } }, { redelivered: true }))).toBe(4);
  expect(attemptOf(received(body, { headers: { melange_attempt: 2, 'x-delivery-count': 1 } }))).toBe(4);
  expect(attemptOf(received(body, { headers: { melange_attempt: 'many' } }))).toBe(1);
});

test('routing keys are the manifest, without wildcards and within the bounds of AMQP', () => {
  expect(routingKeyOf('shop.v1.OrderPlaced')).toBe('shop.v1.OrderPlaced');
  expect(routingKeyOf(undefined)).toBe('');
  expect(routingKeyOf('a.*.#')).not.toMatch(/[*#]/);
  expect(routingKeyOf('a.*')).not.toBe(routingKeyOf('a.#'));
  expect(routingKeyOf('x'.repeat(300))).toHaveLength(255);
});
