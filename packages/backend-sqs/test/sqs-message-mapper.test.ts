import { readdirSync, readFileSync } from 'node:fs';
import { DeadLetterHeader, type Message } from '@melange/core';
import { deadLetterCopy } from '@melange/core/adapter';
import { describe, expect, test } from 'vitest';
import { withCarriableContent } from '../src/wire/body.ts';
import {
  deadLetterDeduplicationId,
  fromSqs,
  isBefore,
  type OutgoingMessage,
  type ReceivedMessage,
  receivesOf,
  toSqs,
  typesOf,
} from '../src/wire/message.ts';
import { message } from './support/scene.ts';

/** As SQS hands over what was sent. */
function received(outgoing: OutgoingMessage, fields: Partial<ReceivedMessage> = {}): ReceivedMessage {
  return { MessageId: 'broker-id', Body: outgoing.body, MessageAttributes: outgoing.attributes, ...fields };
}

/** As SNS without raw delivery hands it over. */
function enveloped(outgoing: OutgoingMessage): ReceivedMessage {
  const attributes = Object.entries(outgoing.attributes).map(([name, { DataType, StringValue }]) => [
    name,
    { Type: DataType, Value: StringValue },
  ]);
  const Body = JSON.stringify({
    Type: 'Notification',
    MessageId: 'sns-id',
    TopicArn: 'arn:aws:sns:us-east-1:1:orders',
    Message: outgoing.body,
    MessageAttributes: Object.fromEntries(attributes),
  });
  return { MessageId: 'broker-id', Body };
}

const full: Message = message('{"total":1}', {
  manifest: 'shop.v1.OrderPlaced',
  serializerId: 3,
  key: 'customer-7',
  publishedAt: 1_700_000_000_123,
  headers: {
    correlationId: 'c-1',
    traceparent: '00-1-1-01',
    third: '3',
    fourth: '4',
    fifth: '5',
    sixth: '6',
  },
});

describe('attributes', () => {
  test('travel under the names that other languages use, numbers as numbers', () => {
    const { attributes, body } = toSqs({ ...full, headers: { correlationId: 'c-1' } }, 'melange');
    expect(body).toBe('{"total":1}');
    expect(attributes).toEqual({
      manifest: { DataType: 'String', StringValue: 'shop.v1.OrderPlaced' },
      serializer_id: { DataType: 'Number', StringValue: '3' },
      message_id: { DataType: 'String', StringValue: full.id },
      published_at: { DataType: 'Number', StringValue: '1700000000123' },
      melange_key: { DataType: 'String', StringValue: 'customer-7' },
      correlationId: { DataType: 'String', StringValue: 'c-1' },
    });
  });

  test('are ten at most: the rest travels packed in the last one, and the envelope never does', () => {
    const outgoing = toSqs(full, 'melange');
    expect(Object.keys(outgoing.attributes)).toEqual([
      ...['manifest', 'serializer_id', 'message_id', 'published_at', 'melange_key'],
      ...['correlationId', 'traceparent', 'third', 'fourth', 'melange_headers'],
    ]);
    expect(outgoing.attributes.melange_headers?.StringValue).toBe('{"fifth":"5","sixth":"6"}');
    expect(fromSqs(received(outgoing))).toEqual(full);
    expect(fromSqs(enveloped(outgoing))).toEqual(full);
  });

  test('are one for the trace: `traceparent` alone under its name, with state or baggage all of them packed', () => {
    const traceparent = '00-1-1-01';
    const alone = toSqs(message('x', { headers: { traceparent } }), 'melange');
    expect(alone.attributes.traceparent?.StringValue).toBe(traceparent);
    const headers = { tenant: 'acme', traceparent, tracestate: 'vendor=1', baggage: 'user=7' };
    const outgoing = toSqs(message('x', { headers }), 'melange');
    const traceAttributes = Object.keys(outgoing.attributes).filter((name) =>
      ['traceparent', 'tracestate', 'baggage', 'melange_headers'].includes(name),
    );
    expect(traceAttributes).toEqual(['melange_headers']);
    expect(fromSqs(received(outgoing)).headers).toEqual(headers);
  });

  test('are ten also of a dead-lettered copy, whose original headers come back untouched', () => {
    const circumstances = { queue: 'orders', attempts: 3, at: 0 };
    const copy = deadLetterCopy(full, { reason: 'rejected', error: new Error('no') }, circumstances);
    const outgoing = toSqs(copy, 'melange');
    expect(Object.keys(outgoing.attributes)).toHaveLength(10);
    const { headers } = fromSqs(received(outgoing));
    expect(headers).toMatchObject({ ...full.headers, [DeadLetterHeader.reason]: 'rejected' });
  });

  test.each([
    ['', 'an empty value'],
    ['\u0000', 'a character that SQS refuses'],
    ['\uFFFE', 'another one'],
  ])('that SQS would refuse travel packed: %j', (value) => {
    const sent = message('x', { headers: { plain: 'yes', odd: value } });
    const outgoing = toSqs(sent, 'melange');
    expect(Object.keys(outgoing.attributes)).not.toContain('odd');
    expect(outgoing.attributes.melange_headers?.StringValue).toMatch(/^[\x20-\x7e]+$/);
    expect(fromSqs(received(outgoing)).headers).toEqual(sent.headers);
  });

  test.each([
    'with space',
    'AWS.reserved',
    'Amazon.reserved',
    '.dot',
    'two..dots',
    'melange_headers',
    'ž',
    '__proto__',
  ])('of a name that SQS would refuse or that means something else survive: %s', (name) => {
    const headers = Object.fromEntries([[name, 'value']]);
    const again = fromSqs(received(toSqs(message('x', { headers }), 'melange')));
    expect(Object.entries(again.headers)).toEqual([[name, 'value']]);
  });

  test('are ten at most, the packed one included, where one of ten cannot travel by itself', () => {
    const headers = {
      ...Object.fromEntries(Array.from({ length: 6 }, (_, n) => [`h${n}`, 'x'])),
      'a b': 'y',
    };
    const sent = message('x', { headers, publishedAt: 1 });
    const outgoing = toSqs(sent, 'melange');
    expect(Object.keys(outgoing.attributes)).toHaveLength(10);
    const full = message('x', { headers: { ...headers, h6: 'x', h7: 'x' }, publishedAt: 1 });
    expect(Object.keys(toSqs(full, 'melange').attributes)).toHaveLength(10);
    expect(fromSqs(received(toSqs(full, 'melange'))).headers).toEqual(full.headers);
  });

  test.each(['two..dots', '.first', 'last.', 'AWS.name', 'Amazon.name', 'x'.repeat(257)])(
    'a header with a name that SQS refuses is packed: %s',
    (name) => {
      const outgoing = toSqs(message('x', { headers: { [name]: 'y' } }), 'melange');
      expect(Object.keys(outgoing.attributes)).not.toContain(name);
      expect(fromSqs(received(outgoing)).headers).toEqual({ [name]: 'y' });
    },
  );

  test('of another client that only look packed stay headers as they are', () => {
    for (const value of ['{"a":1}', '17', 'null', '{'])
      expect(
        fromSqs({
          MessageAttributes: { melange_headers: { DataType: 'String', StringValue: value } },
        }).headers,
      ).toEqual({ melange_headers: value });
  });

  test('an empty manifest stays an empty manifest', () => {
    expect(fromSqs(received(toSqs(message('x', { manifest: '' }), 'melange'))).manifest).toBe('');
  });

  test('count with names, types and values against the limit of size', () => {
    const sent = { ...message('ž'), id: 'i', manifest: 'm', serializerId: undefined };
    // manifest String m, message_id String i, and two bytes of body.
    expect(toSqs(sent, 'melange').bytes).toBe(8 + 6 + 1 + 10 + 6 + 1 + 2);
  });
});

describe('content', () => {
  const everyByte = Uint8Array.from({ length: 256 }, (_, index) => index);

  test.each<[Message['content'] & {}, string, string | undefined]>([
    ['plain ž 🐎', 'plain ž 🐎', undefined],
    ['', '=', 'base64-text'],
    ['nul \u0000', 'bnVsIAA=', 'base64-text'],
    ['{"Message":"x"}', '{"Message":"x"}', 'text'],
    ['{"Message":1}', '{"Message":1}', undefined],
    ['{"Message":"x","Level":"info"}', '{"Message":"x","Level":"info"}', undefined],
    [new Uint8Array(), '=', 'base64'],
    [Uint8Array.of(0xff, 0), '/wA=', 'base64'],
  ])('%j is the body %s, encoding %s, and comes back as it was', (content, body, encoding) => {
    const outgoing = toSqs(message(content), 'melange');
    expect(outgoing.body).toBe(body);
    expect(outgoing.attributes.melange_encoding?.StringValue).toBe(encoding);
    expect(fromSqs(received(outgoing)).content).toEqual(content);
    expect(fromSqs(enveloped(outgoing)).content).toEqual(content);
  });

  test('a window of a larger buffer is sent, not the buffer', () => {
    const window = everyByte.subarray(10, 20);
    expect(fromSqs(received(toSqs(message(window), 'melange'))).content).toEqual(Uint8Array.from(window));
  });

  test('text that SQS refused is sent encoded', () => {
    const outgoing = toSqs(message('🐎'), 'melange', true);
    expect(outgoing.body).toBe('8J+Qjg==');
    expect(fromSqs(received(outgoing)).content).toBe('🐎');
  });

  test('a tombstone is refused', () => {
    expect(() => toSqs(message(null), 'melange')).toThrow(expect.objectContaining({ code: 'UNSUPPORTED' }));
  });
});

describe('headers of other types than text', () => {
  const foreign: ReceivedMessage = {
    MessageId: 'broker-id',
    Body: 'x',
    MessageAttributes: {
      weight: { DataType: 'Number', StringValue: '12345678901234567890.5' },
      image: { DataType: 'Binary.png', BinaryValue: Uint8Array.of(0xff, 0) },
      labelled: { DataType: 'String.kind', StringValue: 'k' },
      plain: { DataType: 'String', StringValue: 'p' },
    },
  };
  const copyOf = (of: ReceivedMessage, headers: Record<string, string> = {}): OutgoingMessage => {
    const read = fromSqs(of);
    return toSqs({ ...read, headers: { ...read.headers, ...headers } }, 'melange', false, typesOf(of));
  };

  test('are seen as text: digits as they came, bytes as base64', () => {
    const seen = { weight: '12345678901234567890.5', image: '/wA=', labelled: 'k', plain: 'p' };
    expect(fromSqs(foreign).headers).toEqual(seen);
    const envelope = {
      Type: 'Notification',
      TopicArn: 'arn:aws:sns:us-east-1:1:t',
      Message: 'x',
      MessageAttributes: {
        weight: { Type: 'Number', Value: seen.weight },
        image: { Type: 'Binary', Value: '/wA=' },
      },
    };
    const enclosed = { MessageId: 'broker-id', Body: JSON.stringify(envelope) };
    expect(fromSqs(enclosed).headers).toEqual({ weight: seen.weight, image: '/wA=' });
    expect(JSON.parse(JSON.stringify(copyOf(enclosed).attributes))).toMatchObject({
      weight: { DataType: 'Number', StringValue: seen.weight },
      image: { DataType: 'Binary', BinaryValue: '/wA=' },
    });
  });

  test('keep their types in a copy, as bytes in the SDK and as base64 in JSON', () => {
    const { attributes, bytes } = copyOf(foreign);
    const { message_id, ...others } = attributes;
    expect(JSON.parse(JSON.stringify(others))).toEqual({
      weight: { DataType: 'Number', StringValue: '12345678901234567890.5' },
      image: { DataType: 'Binary.png', BinaryValue: '/wA=' },
      labelled: { DataType: 'String.kind', StringValue: 'k' },
      plain: { DataType: 'String', StringValue: 'p' },
    });
    expect(attributes.image?.BinaryValue).toBeInstanceOf(Uint8Array);
    expect([...(attributes.image?.BinaryValue ?? [])]).toEqual([0xff, 0]);
    const without = copyOf({ ...foreign, MessageAttributes: { ...foreign.MessageAttributes, image: {} } });
    expect(bytes - without.bytes).toBe('image'.length + 'Binary.png'.length + 2);
  });

  test('keep them where they have to be packed, also in the copy of a copy', () => {
    const many = Object.fromEntries(
      Array.from({ length: 9 }, (_, index) => [`n${index}`, { DataType: 'Number', StringValue: `${index}` }]),
    );
    const full = { ...foreign, MessageAttributes: { ...many, ...foreign.MessageAttributes } };
    const copy = copyOf(full, { melange_reason: 'test' });
    expect(Object.keys(copy.attributes)).toHaveLength(10);
    expect(fromSqs(received(copy)).headers).toEqual({ ...fromSqs(full).headers, melange_reason: 'test' });
    expect(typesOf(received(copy))).toEqual(typesOf(full));
    expect(typesOf(received(copyOf(received(copy))))).toEqual(typesOf(full));
  });
});

describe('an empty id', () => {
  test('is none: the message has the id that SNS gave it, or SQS', () => {
    const attributes = { message_id: { DataType: 'String', StringValue: '' } };
    const packed = { melange_headers: { DataType: 'String', StringValue: '{"message_id":""}' } };
    for (const MessageAttributes of [attributes, packed]) {
      const Attributes = { MessageGroupId: 'g' };
      const read = fromSqs({ MessageId: 'broker-id', Body: 'x', MessageAttributes, Attributes });
      expect(read).toMatchObject({ id: 'broker-id', key: 'g' });
    }
    const ours = toSqs(message('x', { id: '' }), 'melange');
    expect(fromSqs(enveloped(ours)).id).toBe('sns-id');
  });
});

describe('JSON to a topic for the Python library', () => {
  test('has the characters that SNS refuses escaped, and means the same', () => {
    const value = { odd: '\uFFFE \uFFFF 🐎', lone: '\uD800' };
    const sent = message(JSON.stringify(value));
    const { content } = withCarriableContent(sent);
    const outgoing = toSqs(withCarriableContent(sent), 'melange');
    expect(outgoing.attributes.melange_encoding).toBeUndefined();
    expect(outgoing.body).toBe(content);
    expect(outgoing.body).toMatch(/^[\x20-\x7e]+$/);
    expect(JSON.parse(outgoing.body)).toEqual(value);
  });

  test('is as it is where SNS takes it; what is no JSON, or binary, is encoded', () => {
    const plain = message('{"a":"ž🐎"}');
    expect(withCarriableContent(plain)).toBe(plain);
    const text = message('\uFFFE', { serializerId: 77 });
    expect(withCarriableContent(text)).toBe(text);
    const bytes = message(Uint8Array.of(1));
    expect(withCarriableContent(bytes)).toBe(bytes);
  });
});

describe('the place of a message in its group', () => {
  const numbered = (SequenceNumber?: string): ReceivedMessage => ({
    Attributes: { ...(SequenceNumber !== undefined && { SequenceNumber }) },
  });

  test('is that of its number, however many digits it has', () => {
    expect(isBefore(numbered('99'), numbered('18849496460467696128'))).toBe(true);
    expect(isBefore(numbered('18849496460467696128'), numbered('18849496460467696129'))).toBe(true);
    expect(isBefore(numbered('18849496460467696129'), numbered('18849496460467696128'))).toBe(false);
    expect(isBefore(numbered('5'), numbered('5'))).toBe(false);
  });

  test('is not known without one', () => {
    for (const [one, other] of [
      [undefined, '1'],
      ['1', undefined],
      ['x', '1'],
      ['', ''],
    ] as const)
      expect(isBefore(numbered(one), numbered(other))).toBe(false);
  });
});

describe('the form of the Python library', () => {
  test.each<[Message['content'] & {}, string]>([
    ['{"a":"ž\u007f🐎"}', '{"Message": "{\\"a\\":\\"\\u017e\u007f\\ud83d\\udc0e\\"}"}'],
    ['', '{"Message": ""}'],
    [Uint8Array.of(0xff, 0), '{"Message": "/wA="}'],
  ])('%j is the body %s', (content, body) => {
    const outgoing = toSqs(message(content), 'python-melange');
    expect(outgoing.body).toBe(body);
    expect(fromSqs(received(outgoing)).content).toEqual(content);
  });

  const folder = new URL('../../conformance/fixtures/wire/python/', import.meta.url);
  const fixtures = readdirSync(folder).map(
    (file) => JSON.parse(readFileSync(new URL(file, folder), 'utf8')) as Fixture,
  );
  const published = fixtures.flatMap(({ form, messages }) =>
    messages.map((one): [string, string, FixtureMessage] => [form, one.name, one]),
  );

  test.each(published)('%s, %s: is read as what was published', (form, _name, fixture) => {
    const { messageId: MessageId, body: Body, messageAttributes, attributes } = fixture;
    const read = fromSqs({ MessageId, Body, MessageAttributes: messageAttributes, Attributes: attributes });
    const envelope = JSON.parse(Body) as SnsEnvelope;
    const isEnvelope = envelope.Type === 'Notification';
    if (!form.startsWith('pickle')) expect(JSON.parse(read.content as string)).toEqual(fixture.value);
    else expect(read.content).toBe(envelope.Message);
    expect(read.id).toBe(isEnvelope ? envelope.MessageId : MessageId);
    const attribute = (name: string): string | undefined =>
      envelope.MessageAttributes?.[name]?.Value ?? messageAttributes[name]?.StringValue;
    expect(read.manifest).toBe(attribute('manifest'));
    expect(read.serializerId).toBe(
      attribute('serializer_id') === undefined ? undefined : Number(attribute('serializer_id')),
    );
    expect(read.key).toBe(attributes.MessageGroupId);
    expect(read.headers).toEqual(form.endsWith('with-attributes') ? { correlationId: 'c-1' } : {});
    expect(read.publishedAt).toBeUndefined();
    expect(receivesOf({ Attributes: attributes })).toBe(1);
  });

  test.each(published.filter(([form]) => form === 'sqs-queue'))(
    '%s, %s: is written byte for byte',
    (_, __, fixture) => {
      const content = (JSON.parse(fixture.body) as { Message: string }).Message;
      const sent = message(content, { manifest: 'json' });
      const { body, attributes } = toSqs(sent, 'python-melange');
      expect(body).toBe(fixture.body);
      const { message_id: id, ...others } = attributes;
      expect(others).toEqual(fixture.messageAttributes);
      expect(id?.StringValue).toBe(sent.id);
    },
  );
});

describe('foreign messages', () => {
  test.each([
    '{"order":1}',
    'plain',
    '17',
    '{"Message":{}}',
    '[{"Message":"x"}]',
    '{"Message":"x","TopicArn":"y"}',
    '{"Message',
  ])('%s is content as it is, under the id of SQS, without headers', (Body) => {
    expect(fromSqs({ MessageId: 'broker-id', Body })).toEqual({
      id: 'broker-id',
      content: Body,
      manifest: undefined,
      serializerId: undefined,
      key: undefined,
      headers: {},
      publishedAt: undefined,
    });
  });

  test('attributes of every type become headers; what is not a number is no serializer', () => {
    const read = fromSqs({
      MessageId: 'broker-id',
      Body: 'x',
      MessageAttributes: {
        bytes: { BinaryValue: Uint8Array.of(1, 2) },
        number: { StringValue: '7' },
        serializer_id: { StringValue: 'seven' },
        melange_headers: { StringValue: 'not JSON' },
      },
    });
    expect(read.headers).toEqual({ bytes: 'AQI=', number: '7', melange_headers: 'not JSON' });
    expect(read.serializerId).toBeUndefined();
  });
});

describe('ids of FIFO queues', () => {
  test('the key is the group; a message without one is alone in its own, and has no key at the other end', () => {
    const { groupId, deduplicationId } = toSqs(full, 'melange');
    expect([groupId, deduplicationId]).toEqual(['customer-7', full.id]);
    const alone = toSqs({ ...full, key: undefined }, 'melange');
    expect(alone.groupId).toBe(full.id);
    const Attributes = { MessageGroupId: alone.groupId };
    expect(fromSqs(received(alone, { Attributes })).key).toBeUndefined();
  });

  test.each(['with space', 'ž', '', 'x'.repeat(129)])(
    'a key that SQS would refuse has a group of its own: %s',
    (key) => {
      const { groupId } = toSqs({ ...full, key }, 'melange');
      expect(groupId).toMatch(/^[0-9a-f]{64}$/);
      expect(groupId).not.toBe(toSqs({ ...full, key: `${key}!` }, 'melange').groupId);
    },
  );

  test('a dead-lettered copy has the same id when it is sent twice, and another one at its next delivery', () => {
    const first = { MessageId: 'm', Attributes: { ApproximateReceiveCount: '3' } };
    const again = { MessageId: 'm', Attributes: { ApproximateReceiveCount: '4' } };
    expect(deadLetterDeduplicationId(first)).toBe(deadLetterDeduplicationId({ ...first }));
    expect(deadLetterDeduplicationId(first)).not.toBe(deadLetterDeduplicationId(again));
  });
});

interface SnsEnvelope {
  readonly Type?: string;
  readonly Message: string;
  readonly MessageId?: string;
  readonly MessageAttributes?: Record<string, { Value: string }>;
}

interface FixtureMessage {
  readonly name: string;
  readonly value: unknown;
  readonly messageId: string;
  readonly body: string;
  readonly messageAttributes: Record<string, { StringValue: string; DataType: string }>;
  readonly attributes: Record<string, string>;
}

interface Fixture {
  readonly form: string;
  readonly messages: readonly FixtureMessage[];
}
