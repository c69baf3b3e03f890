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

it.each<[string, Message]>([
  ['text', message],
  ['bytes', { ...message, content: Uint8Array.of(0, 255) }],
  ['a tombstone', { ...message, content: null }],
  [
    'no envelope',
    { ...message, manifest: undefined, serializerId: undefined, publishedAt: undefined, key: undefined },
  ],
])('what is sent comes back the same: %s', (_, sent) => {
  expect(fromRecord(toRecord(sent)).message).toEqual(sent);
});

it('carries attempt and redeliveries beside the message', () => {
  expect(fromRecord(toRecord(message, { attempt: 3, redeliveries: 2 }))).toEqual({
    message,
    attempt: 3,
    redeliveries: 2,
  });
});

it('takes what another client sent as it is', () => {
  const { message: foreign } = fromRecord(
    { headers: [], body: new TextEncoder().encode('hello') },
    'broker-1',
  );
  expect(foreign).toMatchObject({
    id: 'broker-1',
    content: 'hello',
    manifest: undefined,
    serializerId: undefined,
  });
});
