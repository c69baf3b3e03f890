import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import {
  GetQueueUrlCommand,
  type Message as Received,
  ReceiveMessageCommand,
  SQSClient,
} from '@aws-sdk/client-sqs';
import type { Message } from '@melange/core';
import { describe, expect, onTestFinished, test } from 'vitest';
import { oursByForm } from '../../../scripts/python-melange/ours.ts';
import { expectAsBefore, keptForm, wireMessages } from '../../conformance/test/support/wire-fixtures.ts';
import { fromSqs, type ReceivedMessage, toSqs } from '../src/wire/message.ts';
import { client } from './support/broker.ts';
import { backendAt, isMissing, sharedUrl, uniqueName } from './support/scene.ts';

const fixtures = fileURLToPath(new URL('../../conformance/fixtures/wire/', import.meta.url));
const messages = wireMessages();
const forms = ['melange', 'python-melange'] as const;

/** A message as the fixture has it. */
type Kept = Pick<ReturnType<typeof toSqs>, 'body' | 'attributes' | 'groupId' | 'deduplicationId'>;

describe.each(forms)('the form %s', (form) => {
  const kept = (message: Message): Kept => {
    const { body, attributes, groupId, deduplicationId } = toSqs(message, form);
    return { body, attributes, groupId, deduplicationId };
  };

  test('has the bytes that it had before', () => {
    expectAsBefore(
      `sqs-${form}`,
      Object.fromEntries(messages.map(([name, message]) => [name, kept(message)])),
    );
  });

  test.each(messages)('is read as before: %s', (name, message) => {
    const { body: Body, attributes: MessageAttributes } = keptForm<Kept>(`sqs-${form}`)[name] as Kept;
    expect(fromSqs({ MessageId: 'broker-id', Body, MessageAttributes })).toEqual(message);
  });
});

test('what is published for the Python library is what that library was seen to read', async () => {
  const published = await oursByForm(`${fixtures}python`);
  for (const file of readdirSync(`${fixtures}ours`)) {
    const before = JSON.parse(readFileSync(`${fixtures}ours/${file}`, 'utf8')) as { form: string };
    expect({ form: before.form, messages: published[before.form] }).toEqual(before);
  }
  expect(
    Object.keys(published)
      .map((form) => `${form}.json`)
      .sort(),
  ).toEqual(readdirSync(`${fixtures}ours`).sort());
});

test('an attribute, and an encoding, that a newer version adds are carried', () => {
  const newer: ReceivedMessage = {
    MessageId: 'broker-id',
    Body: 'KLUv/SAB',
    MessageAttributes: {
      melange_of_tomorrow: { StringValue: '1' },
      melange_encoding: { StringValue: 'zstd' },
      serializer_id: { StringValue: '1' },
    },
  };
  const read = fromSqs(newer);
  expect(read).toMatchObject({ content: 'KLUv/SAB', serializerId: 1 });
  expect(read.headers).toEqual({ melange_of_tomorrow: '1', melange_encoding: 'zstd' });
  // A copy of it, in a dead-letter queue, is read there by who knows the encoding.
  expect(toSqs(read, 'melange')).toMatchObject({
    body: 'KLUv/SAB',
    attributes: { melange_encoding: { StringValue: 'zstd' } },
  });
});

describe.skipIf(isMissing)('on SQS and SNS (skipped without SQS_URL)', () => {
  test.each(['queue', 'topic'] as const)('what a %s gets is this', async (kind) => {
    const backend = backendAt(sharedUrl as string);
    const [queue, topic] = [uniqueName(), uniqueName()];
    onTestFinished(async () => {
      const janitor = backendAt(sharedUrl as string);
      await janitor.deleteQueue(queue);
      await janitor.deleteTopic(topic);
    });
    await backend.declareQueue(queue, { topics: [topic] });
    const all = messages.map(([, message]) => message);
    await (kind === 'queue' ? backend.publishToQueue(queue, all) : backend.publishToTopic(topic, all));
    const sqs = new SQSClient({ ...client, endpoint: sharedUrl as string });
    onTestFinished(() => sqs.destroy());
    const { QueueUrl } = await sqs.send(new GetQueueUrlCommand({ QueueName: queue }));
    const found: Received[] = [];
    while (found.length < all.length) {
      const { Messages = [] } = await sqs.send(
        new ReceiveMessageCommand({
          QueueUrl,
          MaxNumberOfMessages: 10,
          WaitTimeSeconds: 5,
          MessageAttributeNames: ['All'],
        }),
      );
      if (Messages.length === 0) throw new Error(`${found.length} of ${all.length} are in the queue`);
      found.push(...Messages);
    }
    const forms = keptForm<Kept>('sqs-melange');
    for (const [name, message] of messages) {
      const one = found.find(({ MessageAttributes }) => {
        return MessageAttributes?.message_id?.StringValue === message.id;
      });
      // An emulator may refuse some characters that SQS takes: then their text is sent encoded.
      const encoded = toSqs(message, 'melange', true);
      const expected = one?.Body === encoded.body ? encoded : forms[name];
      expect(one?.Body, name).toBe(expected?.body);
      expect(one?.MessageAttributes, name).toEqual(expected?.attributes);
    }
  });
});
