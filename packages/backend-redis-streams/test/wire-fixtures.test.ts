import { randomUUID } from 'node:crypto';
import { silentLogger } from '@melange/core';
import { Redis } from 'ioredis';
import { expect, test } from 'vitest';
import {
  bytesOf,
  expectAsBefore,
  type FixtureBytes,
  fixtureBytes,
  keptForm,
  wireMessages,
} from '../../conformance/test/support/wire-fixtures.ts';
import { RedisStreamsBackend } from '../src/index.ts';
import { type EntryFields, fromEntry, toEntry } from '../src/wire/entry.ts';

/** Fields and values in turn, as an entry has them. */
type KeptEntry = readonly FixtureBytes[];

const { REDIS_URL: url } = process.env;
const messages = wireMessages();
const kept = (fields: readonly Buffer[]): KeptEntry => fields.map((field) => fixtureBytes(field));
const ofBytes = (fields: EntryFields): Buffer[] => fields.map((field) => Buffer.from(field, 'latin1'));

test('what is published has the bytes that it had before', () => {
  expectAsBefore(
    'redis-streams',
    Object.fromEntries(messages.map(([name, message]) => [name, kept(ofBytes(toEntry(message)))])),
  );
});

test.each(messages)('what was published before is read: %s', (name, message) => {
  const entry = keptForm<KeptEntry>('redis-streams')[name] as KeptEntry;
  expect(
    fromEntry(
      '1-0',
      entry.map((field) => Buffer.from(bytesOf(field)).toString('latin1')),
    ).message,
  ).toEqual(message);
});

test('a field that a newer version adds is carried', () => {
  const fields = ['melange_content', '1', 'melange_of_tomorrow', '1', 'serializer_id', '1'];
  const { message } = fromEntry('1-0', fields);
  expect(message).toMatchObject({ serializerId: 1, headers: { melange_of_tomorrow: '1' } });
});

test.skipIf(url === undefined)(
  'on a real Redis queue and topic get these bytes, in this order (skipped without REDIS_URL)',
  async () => {
    const backend = new RedisStreamsBackend({ url: url as string, logger: silentLogger });
    const reader = new Redis(url as string);
    const [queue, bound, topic] = [randomUUID(), randomUUID(), randomUUID()];
    try {
      await backend.declareQueue(queue);
      await backend.declareQueue(bound, { topics: [topic] });
      const all = messages.map(([, message]) => message);
      await backend.publishToQueue(queue, all);
      await backend.publishToTopic(topic, all);
      const forms = Object.values(keptForm<KeptEntry>('redis-streams'));
      for (const name of [queue, bound]) {
        const entries = await reader.xrangeBuffer(`{melange}:stream:${name}`, '-', '+');
        expect(entries.map(([, fields]) => kept(fields as Buffer[]))).toEqual(forms);
      }
    } finally {
      for (const name of [queue, bound]) await backend.deleteQueue(name);
      await backend.deleteTopic(topic);
      await backend.close();
      reader.disconnect();
    }
  },
);
