import { describe, expect, onTestFinished, test } from 'vitest';
import {
  bytesOf,
  expectAsBefore,
  type FixtureBytes,
  fixtureBytes,
  keptForm,
  wireMessages,
} from '../../conformance/test/support/wire-fixtures.ts';
import { receivedOf } from '../src/wire/received-message.ts';
import { getRaw, publishRaw, type RawHeader, type ReceivedRaw } from './support/raw-amqp.ts';
import { arrived, backendFor, inbox, noBroker, queueName, unique, url } from './support/scene.ts';

/** A message as the fixture has it: headers by name, with the letters that AMQP has for their types. */
interface Kept {
  readonly contentType: string | undefined;
  readonly deliveryMode: number | undefined;
  readonly messageId: string | undefined;
  readonly contentEncoding: string | undefined;
  readonly headers: readonly (readonly [name: string, type: string, value: FixtureBytes])[];
  readonly others: readonly string[];
  /** Of a topic; that of a queue is its name. */
  readonly routingKey: string;
  readonly body: FixtureBytes;
}

const messages = wireMessages();

function kept({ body, headers, exchange: _, timestamp: __, ...properties }: ReceivedRaw): Kept {
  return {
    ...properties,
    body: fixtureBytes(body),
    headers: headers
      // The broker's own, which not all versions of it add.
      .filter(([name]) => name !== 'x-delivery-count')
      .sort(([one], [other]) => (one < other ? -1 : 1))
      .map(([name, type, value]) => {
        // Numbers are no text, whatever their bytes are.
        const bytes = type === 'S' ? fixtureBytes(value) : { base64: Buffer.from(value).toString('base64') };
        return [name, type, bytes];
      }),
  };
}

describe.skipIf(url === '')(`on a real RabbitMQ${url === '' ? ` (${noBroker})` : ''}`, () => {
  test('what is published has the bytes that it had before, to topics and to queues', async () => {
    const backend = backendFor();
    const [topic, queue, other] = [unique(), queueName(backend), queueName(backend)];
    onTestFinished(() => backend.deleteTopic(topic));
    await backend.declareQueue(queue, { topics: [topic] });
    await backend.declareQueue(other);
    const all = messages.map(([, message]) => message);
    await backend.publishToTopic(topic, all);
    await backend.publishToQueue(other, all);
    const throughTopic = await getRaw(url, queue, all.length);
    const published = throughTopic.map((raw, index) => [messages[index]?.[0], kept(raw)] as const);
    expectAsBefore('rabbitmq', Object.fromEntries(published));
    const direct = await getRaw(url, other, all.length);
    expect(direct.map((raw) => ({ ...kept(raw), routingKey: '' }))).toEqual(
      published.map(([, one]) => ({ ...one, routingKey: '' })),
    );
    expect(direct.map(({ exchange, routingKey }) => [exchange, routingKey])).toEqual(
      all.map(() => ['', other]),
    );
    expect(new Set(throughTopic.map(({ exchange }) => exchange))).toEqual(new Set([topic]));
  });

  // The second is of versions that wrote neither the type of the content nor numbers as text.
  test.each(['rabbitmq', 'rabbitmq-before-content-types'])(
    'what was published before is read: %s',
    async (form) => {
      const backend = backendFor();
      const queue = queueName(backend);
      await backend.declareQueue(queue);
      const forms = keptForm<Kept>(form);
      await publishRaw(
        url,
        queue,
        messages.map(([name]) => {
          const { body, contentType, contentEncoding, headers } = forms[name] as Kept;
          const raw = headers.map(([header, type, value]) => [header, type, bytesOf(value)] as RawHeader);
          return {
            body: bytesOf(body),
            headers: raw,
            ...(contentType !== undefined && { contentType }),
            ...(contentEncoding !== undefined && { contentEncoding }),
          };
        }),
      );
      const received = inbox((delivery) => delivery.acknowledge());
      await backend.subscribe(queue, { maxInFlight: 20 }, received.receive);
      await arrived(received.deliveries, messages.length);
      const read = received.deliveries.map(({ message }) => message);
      expect(read).toEqual(messages.map(([, message]) => message));
    },
  );
});

test('a header, and a property, that a newer version adds are carried or passed over', () => {
  const headers = { melange_of_tomorrow: 1, serializer_id: 1 };
  const properties = { headers, contentType: 'application/melange; version=9', type: 'OrderPlaced' };
  const newer = { content: Buffer.from('1'), fields: {}, properties } as never;
  expect(receivedOf(newer).message).toMatchObject({
    content: '1',
    serializerId: 1,
    headers: { melange_of_tomorrow: '1' },
  });
});
