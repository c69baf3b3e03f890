import { MelangeError, type Message, WireHeader } from '@melange/core';
import { describe, expect, test } from 'vitest';
import { type OutgoingMessage, publishOptions, routingKeyOf, toAmqp } from '../src/wire/outgoing-message.ts';
import { type DeliveredMessage, receivedOf } from '../src/wire/received-message.ts';

const message: Message = {
  id: '0190f3c2-0000-7000-8000-000000000001',
  content: '{"orderId":"17"}',
  manifest: 'shop.v1.OrderPlaced',
  serializerId: 1,
  key: 'customer-1',
  headers: { correlationId: 'c-1' },
  publishedAt: 1_700_000_000_000,
};

function received(content: Buffer, properties: object, fields: object = {}): DeliveredMessage {
  return { content, properties, fields: { redelivered: false, ...fields } } as unknown as DeliveredMessage;
}

const fromAmqp = (delivered: DeliveredMessage): Message => receivedOf(delivered).message;

/** As it is received, if amqplib sends it. */
function arrived(outgoing: OutgoingMessage): DeliveredMessage {
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
      contentEncoding: 'utf-8',
      headers: {
        correlationId: 'c-1',
        manifest: 'shop.v1.OrderPlaced',
        serializer_id: '1',
        message_id: message.id,
        published_at: '1700000000000',
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
    const copy = toAmqp(message, { failedBefore: 2, redeliveries: 7 });
    expect(headersOf(copy)[WireHeader.attempt]).toBe('2');
    expect(fromAmqp(arrived(copy)).headers).toEqual({ correlationId: 'c-1' });
    expect(receivedOf(arrived(copy))).toMatchObject({ attempt: 3, redeliveries: 7 });
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

  test('with an empty id has none: the one of the properties, or a new one', () => {
    const headers = { message_id: '' };
    expect(fromAmqp(received(Buffer.from(''), { headers, messageId: 'm-1' })).id).toBe('m-1');
    const ids = [1, 2].map(() => fromAmqp(received(Buffer.from(''), { headers, messageId: '' })).id);
    expect(ids[0]).not.toBe(ids[1]);
    for (const id of ids) expect(id).toMatch(/^[0-9a-f-]{36}$/);
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
    const headers = {
      n: 4,
      half: 0.5,
      yes: true,
      bytes: Buffer.from('é'),
      when: { '!': 'timestamp', value: 1_764_000_000 },
      price: { '!': 'decimal', value: { places: 2, digits: 1_995 } },
      table: { a: [1, 'b', false, null], when: { '!': 'timestamp', value: 0 } },
      none: null,
    };
    expect(fromAmqp(received(Buffer.from(''), { headers })).headers).toEqual({
      n: '4',
      half: '0.5',
      yes: 'true',
      bytes: 'w6k=',
      when: '2025-11-24T16:00:00.000Z',
      price: '19.95',
      table: '{"a":[1,"b",false,null],"when":"1970-01-01T00:00:00.000Z"}',
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
      'x-death-star': '2',
      'x-delivery-counter': '3',
      'x-opt-mine': '4',
    };
    expect(fromAmqp(received(Buffer.from(''), { headers })).headers).toEqual({
      'x-mine': '1',
      'x-death-star': '2',
      'x-delivery-counter': '3',
      'x-opt-mine': '4',
    });
  });
});

describe('attempts and redeliveries', () => {
  const counts = (headers: object, redelivered: boolean, countsDeliveries?: boolean) => {
    const { attempt, redeliveries } = receivedOf(
      received(Buffer.from(''), { headers }, { redelivered }),
      countsDeliveries,
    );
    return [attempt, redeliveries];
  };

  test('are those of the copy, and what the broker counted since', () => {
    expect(counts({}, false)).toEqual([1, 0]);
    expect(counts({}, true)).toEqual([1, 1]);
    expect(counts({ 'x-delivery-count': 3 }, true)).toEqual([1, 3]);
    expect(counts({ melange_attempt: 2, melange_redeliveries: '4', 'x-delivery-count': 1 }, true)).toEqual([
      3, 5,
    ]);
    expect(counts({ melange_attempt: 'many', melange_redeliveries: -1 }, false)).toEqual([1, 0]);
  });

  test('are none of a count that another client wrote', () => {
    expect(counts({ 'x-delivery-count': 500 }, false)).toEqual([1, 0]);
    // A classic queue leaves such a header as it is.
    expect(counts({ 'x-delivery-count': 500 }, true, false)).toEqual([1, 1]);
  });
});

describe('content', () => {
  const kinds = (properties: object) => typeof fromAmqp(received(Buffer.from('{}'), properties)).content;

  test('is text where its encoding or its type says so, if it is any', () => {
    for (const contentType of [
      'text/plain',
      'application/json; charset=utf-8',
      'application/cloudevents+json',
      'text/csv',
      '',
    ]) {
      expect([contentType, kinds({ contentType })]).toEqual([contentType, 'string']);
    }
    expect(kinds({})).toBe('string');
    expect(kinds({ contentType: 'application/x-protobuf', contentEncoding: 'utf-8' })).toBe('string');
    expect(kinds({ contentType: 'application/json', contentEncoding: 'identity' })).toBe('string');
  });

  test('is bytes of a type of bytes, and of any other encoding', () => {
    for (const contentType of [
      'application/octet-stream',
      'application/x-protobuf',
      'application/protobuf; proto=shop.Order',
    ]) {
      expect([contentType, kinds({ contentType })]).toEqual([contentType, 'object']);
    }
    for (const contentEncoding of ['gzip', 'binary', 'utf-16']) {
      expect(kinds({ contentType: 'application/json', contentEncoding })).toBe('object');
    }
  });

  test('has its type, which goes out again, and comes back as text or bytes as it was', () => {
    for (const contentType of ['application/json', 'application/x-protobuf', 'image/png', undefined]) {
      for (const content of ['{}', Uint8Array.from(Buffer.from('{}'))]) {
        const typed = { ...message, content, ...(contentType !== undefined && { contentType }) };
        expect(fromAmqp(arrived(toAmqp(typed)))).toEqual(typed);
      }
    }
  });
});

describe('a message that the broker itself dead-lettered', () => {
  const death = (queue: string, reason: string) => ({
    queue,
    reason,
    time: { '!': 'timestamp', value: 1_764_000_000 },
  });
  const circumstances = (headers: object) => fromAmqp(received(Buffer.from(''), { headers })).headers;

  test('has its source and its reason, as one that Melange dead-lettered', () => {
    const last = { 'x-death': [death('orders', 'expired'), death('earlier', 'rejected')] };
    expect(circumstances(last)).toEqual({
      melange_reason: 'expired',
      melange_source_queue: 'orders',
      melange_dead_lettered_at: '2025-11-24T16:00:00.000Z',
    });
  });

  test('is not one that waited for its delay, nor has other reasons than Melange gave', () => {
    expect(circumstances({ 'x-death': [death('orders.delay.1300', 'expired')] })).toEqual({});
    const both = { 'x-death': [death('orders', 'expired')], melange_reason: 'rejected' };
    expect(circumstances(both)).toEqual({ melange_reason: 'rejected' });
    for (const odd of ['text', [], [1], [{}]]) expect(circumstances({ 'x-death': odd })).toEqual({});
  });
});

test('routing keys are the manifest, without wildcards and within the bounds of AMQP', () => {
  expect(routingKeyOf('shop.v1.OrderPlaced')).toBe('shop.v1.OrderPlaced');
  expect(routingKeyOf(undefined)).toBe('');
  expect(routingKeyOf('a.*.#')).not.toMatch(/[*#]/);
  expect(routingKeyOf('a.*')).not.toBe(routingKeyOf('a.#'));
  expect(routingKeyOf('x'.repeat(300))).toHaveLength(255);
});
