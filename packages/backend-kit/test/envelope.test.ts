import type { Message } from '@melange/core';
import { describe, expect, it } from 'vitest';
import { contentHeader, fromEnvelope, toEnvelope } from '../src/index.ts';

const message: Message = {
  id: 'message-1',
  content: '{"orderId":"4711"}',
  manifest: 'OrderPlaced',
  serializerId: 1,
  key: 'order-4711',
  headers: { traceparent: '00-1-2-01' },
  publishedAt: 1_700_000_000_000,
};

const bytesOf = (body: string | Uint8Array): Uint8Array =>
  typeof body === 'string' ? new TextEncoder().encode(body) : body;

function there(sent: Message, again?: { attempt: number; redeliveries: number }) {
  const { body, headers } = toEnvelope(sent, again);
  return fromEnvelope(bytesOf(body), headers);
}

describe('an envelope', () => {
  it.each<[string, Message]>([
    ['text', message],
    ['empty text', { ...message, content: '' }],
    ['bytes', { ...message, content: Uint8Array.of(0, 255) }],
    ['bytes that are UTF-8', { ...message, content: Uint8Array.of(65) }],
    ['no bytes', { ...message, content: new Uint8Array() }],
    ['a tombstone', { ...message, content: null }],
    ['text that begins with a byte order mark', { ...message, content: '\uFEFFx' }],
    [
      'no envelope',
      { ...message, manifest: undefined, serializerId: undefined, publishedAt: undefined, key: undefined },
    ],
    ['a header named __proto__', { ...message, headers: Object.fromEntries([['__proto__', 'x']]) }],
    ['headers of a dead letter', { ...message, headers: { melange_reason: 'rejected' } }],
  ])('brings back what was sent: %s', (_, sent) => {
    expect(there(sent)).toEqual({ message: sent, attempt: 1, redeliveries: 0 });
  });

  it('brings the attempt and the redeliveries of a copy, and no trace of them in the message', () => {
    expect(there(message, { attempt: 3, redeliveries: 2 })).toEqual({ message, attempt: 3, redeliveries: 2 });
    expect(toEnvelope(message, { attempt: 1, redeliveries: 0 })).toEqual(toEnvelope(message));
  });

  it('adds what the broker counts', () => {
    const { body, headers } = toEnvelope(message, { attempt: 1, redeliveries: 2 });
    expect(fromEnvelope(bytesOf(body), headers, undefined, 3)).toMatchObject({ attempt: 1, redeliveries: 5 });
  });

  it('shares no bytes, in either direction', () => {
    const content = Uint8Array.of(1, 2);
    const { body, headers } = toEnvelope({ ...message, content });
    content[0] = 9;
    const read = fromEnvelope(body as Uint8Array, headers);
    (body as Uint8Array)[1] = 9;
    expect(read.message.content).toEqual(Uint8Array.of(1, 2));
  });

  it('refuses a header that is no text', () => {
    expect(() => toEnvelope({ ...message, headers: { count: 1 as unknown as string } })).toThrow(
      '"count" must be text',
    );
  });
});

describe('a foreign message', () => {
  it('is text where it is UTF-8, else bytes, and gets the id of the broker', () => {
    const text = fromEnvelope(Uint8Array.of(0xc3, 0xa4), [], 'broker-1').message;
    expect(text).toMatchObject({
      id: 'broker-1',
      content: 'ä',
      manifest: undefined,
      serializerId: undefined,
    });
    expect(fromEnvelope(Uint8Array.of(0xff), []).message.content).toEqual(Uint8Array.of(0xff));
  });

  it('with an empty id has none: it gets the broker’s, else a new one', () => {
    const headers: [string, string][] = [['message_id', '']];
    expect(fromEnvelope(new Uint8Array(), headers, 'broker-1').message.id).toBe('broker-1');
    const [one, other] = [fromEnvelope(new Uint8Array(), headers), fromEnvelope(new Uint8Array(), headers)];
    expect(one.message.id).not.toBe('');
    expect(one.message.id).not.toBe(other.message.id);
  });

  it.each(['', 'x', '-1', '1.5', 'Infinity', '99999999999999999999'])(
    'counts no attempts by "%s"',
    (value) => {
      const headers: [string, string][] = [
        ['melange_attempt', value],
        ['melange_redeliveries', value],
      ];
      expect(fromEnvelope(new Uint8Array(), headers)).toMatchObject({ attempt: 1, redeliveries: 0 });
    },
  );

  it('of an unknown content type is read as one that has none', () => {
    expect(fromEnvelope(Uint8Array.of(65), [[contentHeader, 'text/html']]).message).toMatchObject({
      content: 'A',
      headers: {},
    });
  });
});
