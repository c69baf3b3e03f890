import { type Envelope, type Received, toEnvelope } from '@melange/backend-kit';
import type { Message } from '@melange/core';
import { expect, it } from 'vitest';
import { fromRecord, toRecord } from '../src/wire.ts';

const message: Message = {
  id: 'message-1',
  content: '{"orderId":"4711"}',
  manifest: 'OrderPlaced',
  serializerId: 1,
  key: 'order-4711',
  headers: Object.fromEntries([
    ['__proto__', 'x'],
    ['traceparent', '00-1-2-01'],
  ]),
  publishedAt: 1_700_000_000_000,
};

/** As the client library sends it and gets it: with trimmed values. */
function received({ body, headers }: Envelope): Received {
  const bytes = typeof body === 'string' ? new TextEncoder().encode(body) : body;
  return fromRecord(
    bytes ?? new Uint8Array(),
    headers.map(([name, value]) => [name, value.trim()]),
    'broker-1',
    0,
  );
}

it.each<[string, Message]>([
  ['text', message],
  ['bytes', { ...message, content: Uint8Array.of(0, 255) }],
  ['a tombstone', { ...message, content: null }],
  [
    'no envelope',
    { ...message, manifest: undefined, serializerId: undefined, publishedAt: undefined, key: undefined },
  ],
])('what is sent comes back the same: %s', (_, sent) => {
  expect(received(toRecord(toEnvelope(sent))).message).toEqual(sent);
});

it('carries attempt and redeliveries beside the message', () => {
  expect(received(toRecord(toEnvelope(message, { attempt: 3, redeliveries: 2 })))).toEqual({
    message,
    attempt: 3,
    redeliveries: 2,
  });
});

it('takes what another client sent as it is, without the headers that were for the broker', () => {
  const headers = [
    ['Nats-Msg-Id', 'n-1'],
    ['melange_headers', '{"a":1}'],
  ] as const;
  const { message: foreign } = fromRecord(new TextEncoder().encode('hello'), headers, 'broker-1', 0);
  expect(foreign).toMatchObject({
    id: 'broker-1',
    content: 'hello',
    manifest: undefined,
    serializerId: undefined,
    headers: { melange_headers: '{"a":1}' },
  });
});

it.each([
  ['spaces', 'x', ' padded '],
  ['line ends', 'x', 'two\r\nlines'],
  ['half a character', 'x', '\ud800'],
  ['a name that no header can have', 'žluťoučký kůň', '🐎'],
  ['a name that would tell the broker what to do', 'Nats-Rollup', 'all'],
  ['a name of the adapter', 'melange_delay_ms', '60000'],
  ['the packed header', 'melange_headers', '{"a":"1"}'],
])('packs what NATS does not carry: %s', (_, name, value) => {
  const sent = { ...message, headers: { plain: 'p', [name]: value } };
  const record = toRecord(toEnvelope(sent));
  expect(record.headers.map(([own]) => own)).toContain('melange_headers');
  expect(record.headers.find(([own]) => own === 'plain')).toEqual(['plain', 'p']);
  expect(received(record).message.headers).toEqual(sent.headers);
});
