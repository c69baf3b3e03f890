import { silentLogger } from '@melange/core';
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  bytesOf,
  expectAsBefore,
  type FixtureBytes,
  fixtureBytes,
  keptForm,
  wireMessages,
} from '../../conformance/test/support/wire-fixtures.ts';
import type { KafkaClient } from '../src/client/index.ts';
import { KafkajsClient } from '../src/client/kafkajs/client.ts';
import { settingsOf } from '../src/options.ts';
import { fromRecord, type OutgoingRecord, toRecord } from '../src/wire/message.ts';
import { backendFor, noBroker, queueName, unique, url } from './support/scene.ts';

/** A record as the fixture has it: headers in their order. */
interface KeptRecord {
  readonly key: FixtureBytes | null;
  readonly value: FixtureBytes;
  readonly headers: readonly (readonly [name: string, value: FixtureBytes])[];
}

const messages = wireMessages();

function kept({ key, value, headers }: OutgoingRecord): KeptRecord {
  return {
    key: key === null ? null : fixtureBytes(key),
    value: fixtureBytes(value as Buffer),
    // One value of each name is sent; what is read of some names is a list of it.
    headers: Object.entries(headers).map(([name, bytes]) => [
      name,
      fixtureBytes([bytes].flat()[0] as Buffer),
    ]),
  };
}

test('what is published has the bytes that it had before', () => {
  expectAsBefore(
    'kafka',
    Object.fromEntries(messages.map(([name, message]) => [name, kept(toRecord(message))])),
  );
});

test.each(messages)('what was published before is read: %s', (name, message) => {
  const { key, value, headers } = keptForm<KeptRecord>('kafka')[name] as KeptRecord;
  const record = {
    ...{ topic: 't', partition: 0, offset: 0, size: 0 },
    key: key === null ? null : bytesOf(key),
    value: bytesOf(value),
    headers: Object.fromEntries(headers.map(([header, bytes]) => [header, bytesOf(bytes)])),
  };
  expect(fromRecord(record)).toEqual(message);
});

test('a header that a newer version adds is carried', () => {
  const headers = { melange_of_tomorrow: Buffer.from('1'), serializer_id: Buffer.from('1') };
  const place = { topic: 't', partition: 0, offset: 0, size: 0 };
  const record = { ...place, key: null, value: Buffer.from('1'), headers };
  expect(fromRecord(record)).toMatchObject({ serializerId: 1, headers: { melange_of_tomorrow: '1' } });
});

describe.skipIf(url === '')(`on a real Kafka${url === '' ? ` (${noBroker})` : ''}`, () => {
  /** Reads what a partition holds, without a group. */
  function reader(): KafkaClient {
    const watch = { logger: silentLogger, onSlow: () => undefined };
    const client = new KafkajsClient(settingsOf({ brokers: [url] }), watch);
    onTestFinished(() => client.close());
    return client;
  }

  test('queue and topic get these bytes, in this order', async () => {
    const backend = backendFor({ partitions: 1 });
    const [queue, topic] = [queueName(backend), unique()];
    onTestFinished(() => backend.deleteTopic(topic));
    await backend.declareQueue(queue);
    await backend.declareTopic(topic);
    const all = messages.map(([, message]) => message);
    await backend.publishToQueue(queue, all);
    await backend.publishToTopic(topic, all);
    const forms = Object.values(keptForm<KeptRecord>('kafka'));
    const client = reader();
    expect((await client.read(queue, 0)).map(kept)).toEqual(forms);
    expect((await client.read(topic, 0)).map(kept)).toEqual(forms);
  });

  test.each([
    ['customer-7', 7],
    ['customer-8', 4],
    ['žluťoučký', 4],
    ['', 1],
  ])('the key "%s" has the partition that the Java client gives it', async (key, partition) => {
    const backend = backendFor({ partitions: 8 });
    const queue = queueName(backend);
    await backend.declareQueue(queue);
    const [, message] = messages[0] as (typeof messages)[number];
    await backend.publishToQueue(queue, [{ ...message, key }]);
    const ranges = (await reader().rangesOf(queue)) ?? new Map();
    expect([...ranges].filter(([, { high }]) => high > 0).map(([number]) => number)).toEqual([partition]);
  });
});
