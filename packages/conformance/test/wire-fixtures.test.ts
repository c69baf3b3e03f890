import { readdirSync, readFileSync } from 'node:fs';
import { MemoryBackend } from '@melange/backend-memory';
import { MessageDispatcher, type Serializer, SerializerRegistry, silentLogger } from '@melange/core';
import { JsonSerializer } from '@melange/serializer-json';
import { expect, test } from 'vitest';

interface Attribute {
  readonly StringValue?: string;
  readonly Value?: string;
}

interface Body {
  readonly Message: string;
  readonly MessageAttributes?: Readonly<Record<string, Attribute>>;
}

interface FixtureMessage {
  readonly name: string;
  readonly value: unknown;
  readonly body: string;
  readonly messageAttributes: Readonly<Record<string, Attribute>>;
}

const folder = new URL('../fixtures/wire/python/', import.meta.url);
const files = readdirSync(folder);
const messages = files.flatMap((file) => {
  const { form, messages } = JSON.parse(readFileSync(new URL(file, folder), 'utf8')) as {
    form: string;
    messages: FixtureMessage[];
  };
  return messages.map((message): [string, string, FixtureMessage] => [form, message.name, message]);
});

/** The application's own, which made one of the forms. */
const order: Serializer = {
  identifier: 7,
  manifest: () => 'OrderPlaced',
  serialize: (value) => JSON.stringify(value),
  deserialize: (content) => JSON.parse(String(content)) as unknown,
};

const serializers = new SerializerRegistry({
  serializers: { json: new JsonSerializer(), order },
  default: 'json',
});

/** What an adapter takes out of the body, by itself: adapters have tests of their own. */
function received({ body, messageAttributes }: FixtureMessage) {
  const { Message: content, MessageAttributes = messageAttributes } = JSON.parse(body) as Body;
  const attribute = (name: string) => MessageAttributes[name]?.Value ?? MessageAttributes[name]?.StringValue;
  const serializerId = attribute('serializer_id');
  return {
    content,
    manifest: attribute('manifest'),
    serializerId: serializerId === undefined ? undefined : Number(serializerId),
  };
}

test.each(messages.filter(([form]) => !form.startsWith('pickle')))(
  'what the Python library publishes is read: %s, %s',
  (_form, _name, message) => {
    expect(serializers.deserialize(received(message))).toEqual(message.value);
  },
);

test.each(messages.filter(([form]) => form.startsWith('pickle')))(
  'what it pickles is refused, saying why, and dead-lettered as it came: %s, %s',
  async (_form, _name, fixture) => {
    const pickled = received(fixture);
    expect(pickled.serializerId).toBe(2);
    expect(() => serializers.deserialize(pickled)).toThrow(/pickle.*JsonSerializer/);
    const backend = new MemoryBackend();
    await backend.declareQueue('orders', { deadLetterQueue: 'dead' });
    const envelope = { id: 'm-1', key: undefined, headers: {}, publishedAt: undefined };
    await backend.publishToQueue('orders', [{ ...pickled, ...envelope }]);
    const dispatcher = new MessageDispatcher({ backend, serializers, logger: silentLogger });
    await dispatcher.consumeEvent('orders');
    const dead = await new Promise<unknown>((resolve) => {
      void backend.subscribe('dead', { maxInFlight: 1 }, ({ message }) => resolve(message));
    });
    expect(dead).toMatchObject(pickled);
    await dispatcher.close();
    await backend.close();
  },
);

test('every form is described', () => {
  const text = readFileSync(new URL('../README.md', folder), 'utf8');
  for (const file of files) expect(text).toContain(`\`${file.replace('.json', '')}\``);
});
