import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { toSqs } from '../../packages/backend-sqs/src/wire/message.ts';
import type { Message } from '../../packages/core/src/index.ts';

/** One message as ours sends it. */
export interface OurMessage {
  readonly name: string;
  /** What the Python library must make of it. */
  readonly value: unknown;
  /** Parameters of `SendMessage`, or of SNS's `Publish`. */
  readonly request: Readonly<Record<string, unknown>>;
}

const headers = {
  correlationId: 'c-1',
  traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
};
const manyHeaders = Object.fromEntries(
  Array.from({ length: 12 }, (_, index) => [`header${index}`, `${index}`]),
);

/** The values that the fixtures of the Python library hold, published by ours in the form that it reads. */
export async function oursByForm(pythonFixtures: string): Promise<Record<string, OurMessage[]>> {
  const { messages } = JSON.parse(await readFile(join(pythonFixtures, 'sqs-queue.json'), 'utf8')) as {
    messages: { name: string; value: unknown }[];
  };
  const cases = messages.map(({ name, value }, index) => ({ name, value, message: messageOf(value, index) }));
  const [first] = cases;
  if (first === undefined) throw new Error('there are no fixtures of the Python library');
  cases.push(
    { ...first, name: 'with headers', message: { ...first.message, headers } },
    {
      ...first,
      name: 'with more headers than attributes',
      message: { ...first.message, headers: manyHeaders },
    },
    {
      ...first,
      name: 'of a serializer of the application',
      message: { ...first.message, manifest: 'OrderPlaced', serializerId: 7 },
    },
    {
      ...first,
      name: 'without manifest and serializer',
      message: { ...first.message, manifest: undefined, serializerId: undefined },
    },
  );
  const written = (make: (message: Message) => Record<string, unknown>): OurMessage[] =>
    cases.map(({ name, value, message }) => ({ name, value, request: make(message) }));
  return {
    'sqs-queue': written((message) => {
      const { body, attributes } = toSqs(message, 'python-melange');
      return { MessageBody: body, MessageAttributes: attributes };
    }),
    'sqs-fifo': written((message) => {
      const { body, attributes, ...ids } = toSqs({ ...message, key: 'customer-1' }, 'python-melange');
      return {
        MessageBody: body,
        MessageAttributes: attributes,
        MessageGroupId: ids.groupId,
        MessageDeduplicationId: ids.deduplicationId,
      };
    }),
    'sns-topic': written((message) => {
      // A topic gets the content as it is, in every format: SNS wraps it for the library's queues.
      const { body, attributes } = toSqs(message, 'melange');
      return { Message: body, MessageAttributes: attributes };
    }),
  };
}

function messageOf(value: unknown, index: number): Message {
  return {
    id: `0190f3c2-0000-7000-8000-${String(index).padStart(12, '0')}`,
    content: JSON.stringify(value),
    manifest: 'json',
    serializerId: 1,
    key: undefined,
    headers: {},
    publishedAt: 1_767_225_600_000,
  };
}
