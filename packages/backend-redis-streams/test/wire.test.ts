import type { Message } from '@melange/core';
import { expect, it } from 'vitest';
import { type EntryFields, fromEntry, packedFields, toDeadLetter, toEntry } from '../src/wire/entry.ts';
import { bytesOf, textOf, unpackedStrings } from '../src/wire/packed.ts';

const message: Message = {
  id: 'message-1',
  content: '{"orderId":"4711"}',
  manifest: 'OrderPlaced',
  serializerId: 1,
  key: 'order-4711',
  headers: { traceparent: '00-1-2-01', ['__proto__']: 'kept', empty: '' },
  publishedAt: 1_700_000_000_000,
};

const manyHeaders = Object.fromEntries(Array.from({ length: 3_000 }, (_, n) => [`header-${n}`, `${n}`]));

/** Fields as Redis gives them. */
const fieldsOf = (fields: readonly (string | Buffer)[]): EntryFields =>
  fields.map((field) => (typeof field === 'string' ? bytesOf(field) : field.toString('latin1')));

it.each([
  ['text', message],
  ['empty text', { ...message, content: '' }],
  ['text of other scripts', { ...message, content: 'Grüße 🦀', headers: { größe: '数' }, manifest: 'Größe' }],
  ['long text', { ...message, content: 'x'.repeat(70_000), headers: { long: 'y'.repeat(300) } }],
  ['bytes', { ...message, content: Uint8Array.of(0, 255) }],
  ['no bytes', { ...message, content: new Uint8Array() }],
  ['a tombstone', { ...message, content: null }],
  ['more headers than there is room for', { ...message, headers: { ...manyHeaders, ['__proto__']: 'kept' } }],
  [
    'no envelope',
    { ...message, manifest: undefined, serializerId: undefined, publishedAt: undefined, key: undefined },
  ],
])('what is added comes back the same: %s', (_, sent) => {
  expect(fromEntry('1-0', unpackedStrings(packedFields(toEntry(sent)))).message).toEqual(sent);
});

it('has plain fields that any client can read', () => {
  const fields = toEntry({ ...message, headers: { traceparent: '00-1-2-01' } }).map(textOf);
  expect(fields).toEqual(
    [
      ['melange_content', '{"orderId":"4711"}', 'traceparent', '00-1-2-01', 'message_id', 'message-1'],
      [
        'manifest',
        'OrderPlaced',
        'serializer_id',
        '1',
        'published_at',
        '1700000000000',
        'melange_key',
        'order-4711',
      ],
    ].flat(),
  );
});

it('reads what a retried copy says of its attempts, and takes what is no count for none', () => {
  const read = (...fields: readonly string[]) => fromEntry('1-0', fieldsOf(fields));
  expect(read()).toMatchObject({ attempt: 1, redeliveries: 0 });
  const copied = ['melange_attempt', '3', 'melange_redeliveries', '2'];
  expect(read(...copied)).toMatchObject({ attempt: 4, redeliveries: 2, message: { headers: {} } });
  for (const text of ['many', '-1', '1.5', '', '1e400'])
    expect(read('melange_attempt', text)).toMatchObject({ attempt: 1 });
});

it('takes an empty id for none', () => {
  expect(fromEntry('7-1', fieldsOf(['message_id', '', 'melange_content', '1'])).message.id).toBe('7-1');
});

it('copies to a dead letter, byte for byte, what came, without what an earlier dead-lettering said', () => {
  const odd = Buffer.of(0x61, 0xff);
  const came = fieldsOf(['message_id', '', 'binary', odd, 'twice', '1', 'twice', '2']);
  const earlier = fieldsOf([
    'melange_reason',
    'before',
    'melange_consumer',
    'billing',
    'melange_attempt',
    '3',
  ]);
  const { message: original } = fromEntry('7-1', [...came, ...earlier]);
  const copy = { ...original, headers: { ...original.headers, melange_reason: 'rejected' } };
  const { melange_consumer: _, ...headers } = copy.headers as Record<string, string>;
  expect(toDeadLetter({ id: '7-1', fields: [...came, ...earlier] }, { ...copy, headers })).toEqual(
    fieldsOf([
      ...['binary', odd, 'twice', '1', 'twice', '2', 'message_id', '7-1'],
      ...['melange_content', original.content as string, 'melange_reason', 'rejected'],
    ]),
  );
});

it('takes what another client added as it is: its fields are the content, the id is that of the entry', () => {
  expect(fromEntry('7-1', fieldsOf(['orderId', '4711'])).message).toEqual({
    id: '7-1',
    content: '{"orderId":"4711"}',
    manifest: undefined,
    serializerId: undefined,
    key: undefined,
    headers: { orderId: '4711' },
    publishedAt: undefined,
  });
});

it('reads packed headers as no more than headers, and takes what is written there otherwise for nothing', () => {
  const read = (text: string) =>
    fromEntry('1-0', fieldsOf(['message_id', 'm-1', 'melange_headers', text])).message;
  expect(read('["trace","a","message_id","another"]')).toMatchObject({ id: 'm-1', headers: { trace: 'a' } });
  for (const text of ['', 'null', '{"trace":"a"}', '["trace",1]']) expect(read(text).headers).toEqual({});
});
