import {
  GetQueueUrlCommand,
  type MessageAttributeValue,
  SendMessageCommand,
  SQSClient,
} from '@aws-sdk/client-sqs';
import { DeadLetterHeader } from '@melange/core';
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  type Consumed,
  consumed as consumedFrom,
  type ForeignScene,
  Order,
  orderContent,
} from '../../conformance/test/support/foreign-messages.ts';
import { client } from './support/broker.ts';
import { backendAt, isMissing, sharedUrl, uniqueName } from './support/scene.ts';

const url = sharedUrl as string;

interface Scene extends ForeignScene {
  /** As the AWS CLI's `send-message` does. */
  readonly send: (body: string, attributes?: Record<string, MessageAttributeValue>) => Promise<unknown>;
  readonly consume: (count: number) => Promise<Consumed>;
}

async function scene(): Promise<Scene> {
  const backend = backendAt(url);
  const [queue, dead] = [uniqueName(), uniqueName()];
  onTestFinished(async () => {
    const janitor = backendAt(url);
    await janitor.deleteQueue(queue);
    await janitor.deleteQueue(dead);
  });
  await backend.declareQueue(queue, { deadLetterQueue: dead });
  const sqs = new SQSClient({ ...client, endpoint: url });
  onTestFinished(() => sqs.destroy());
  const { QueueUrl } = await sqs.send(new GetQueueUrlCommand({ QueueName: queue }));
  const send: Scene['send'] = (MessageBody, MessageAttributes) =>
    sqs.send(new SendMessageCommand({ QueueUrl, MessageBody, MessageAttributes }));
  const here = { backend, queue, dead };
  return { ...here, send, consume: (count) => consumedFrom(here, count, (body) => send(body)) };
}

const text = (StringValue: string): MessageAttributeValue => ({ DataType: 'String', StringValue });
const number = (StringValue: string): MessageAttributeValue => ({ DataType: 'Number', StringValue });

describe.skipIf(isMissing)('messages of plain SQS clients (skipped without SQS_URL)', () => {
  test('without attributes are read as JSON, and what is none is dead-lettered as it came', async () => {
    const here = await scene();
    for (const body of ['{"total":1}', 'hello', ' ', '{"Message":{}}', '<xml/>']) await here.send(body);
    const { processed, deadLetters } = await here.consume(5);
    expect(processed.map(({ value }) => value)).toEqual(
      expect.arrayContaining([{ total: 1 }, { Message: {} }]),
    );
    for (const { context } of processed)
      expect(context).toMatchObject({
        messageId: expect.stringMatching(/./),
        manifest: undefined,
        headers: {},
      });
    expect(deadLetters.map(({ content }) => content).sort()).toEqual([' ', '<xml/>', 'hello']);
    for (const { headers } of deadLetters) expect(headers[DeadLetterHeader.reason]).toBe('undecodable');
  });

  test('with the documented attributes are read as what they say', async () => {
    const here = await scene();
    const attributes = { manifest: text('shop.Order'), message_id: text('m-1'), correlationId: text('c') };
    const body = Buffer.from(orderContent).toString('base64');
    for (const serializer_id of [number('3'), text('3')])
      await here.send(body, { ...attributes, serializer_id, melange_encoding: text('base64') });
    const { processed } = await here.consume(2);
    for (const { value, context } of processed) {
      expect(value).toEqual(Object.assign(new Order(), { id: 'o-1' }));
      expect(context).toMatchObject({ messageId: 'm-1', headers: { correlationId: 'c' } });
    }
  });

  test('in the envelopes of SNS and of the Python library are read as what is in them', async () => {
    const here = await scene();
    await here.send('{"Message": "{\\"from\\": \\"python\\"}"}');
    const attribute = { Type: 'Binary', Value: 'AQI=' };
    const envelope = { Type: 'Notification', TopicArn: 'arn:aws:sns:us-east-1:1:t', MessageId: 'sns-1' };
    await here.send(
      JSON.stringify({
        ...envelope,
        Message: '{"from":"sns"}',
        MessageAttributes: { bytes: attribute, none: null },
      }),
    );
    const { processed } = await here.consume(2);
    const bySource = Object.fromEntries(
      processed.map(({ value, context }) => [(value as { from: string }).from, context]),
    );
    expect(bySource.sns).toMatchObject({ messageId: 'sns-1', headers: { bytes: 'AQI=' } });
    expect(bySource.python).toMatchObject({ headers: {} });
  });

  test('with attributes that make no sense are read by the default serializer, or dead-lettered', async () => {
    const here = await scene();
    await here.send('1', { serializer_id: text('three'), published_at: text('yesterday') });
    await here.send('2', { serializer_id: { DataType: 'Binary', BinaryValue: Uint8Array.of(0xff) } });
    await here.send('3', { serializer_id: number('99') });
    await here.send('4', { serializer_id: number('1'), manifest: text('Nobody.knows') });
    await here.send('5', { serializer_id: number('2'), manifest: text('Payment') });
    await here.send('6', { melange_headers: text('[no JSON'), melange_of_tomorrow: text('1') });
    await here.send('7', { melange_encoding: text('zstd') });
    const { processed, deadLetters } = await here.consume(7);
    expect(processed.map(({ value }) => value).sort()).toEqual([1, 2, 6, 7]);
    expect(deadLetters.map(({ content }) => content).sort()).toEqual(['3', '4', '5']);
    const reasons = deadLetters.map(({ headers }) => headers[DeadLetterHeader.errorMessage]).join();
    for (const said of ['99', 'Nobody.knows', 'pickle']) expect(reasons).toContain(said);
  });

  test('with binary attributes and one of 64 kB are processed, retried and dead-lettered whole', async () => {
    const here = await scene();
    const long = 'h'.repeat(64 * 1024);
    const bytes = { DataType: 'Binary', BinaryValue: Uint8Array.of(0xff, 0) };
    for (const body of ['"good"', '"fails"', 'undecodable'])
      await here.send(body, {
        long: text(long),
        bytes,
        typed: { DataType: 'String.kind', StringValue: 'x' },
      });
    const { processed, deadLetters } = await here.consume(3);
    expect(processed.map(({ value }) => value).sort()).toEqual(['fails', 'fails', 'good']);
    expect(deadLetters.map(({ content }) => content).sort()).toEqual(['"fails"', 'undecodable']);
    for (const headers of [
      ...processed.map(({ context }) => context.headers),
      ...deadLetters.map((one) => one.headers),
    ]) {
      expect(headers).toMatchObject({ bytes: '/wA=', typed: 'x' });
      expect(headers.long === long).toBe(true);
    }
  });

  test('as large as SQS takes are processed, or dead-lettered whole', async () => {
    const here = await scene();
    const large = 'x'.repeat(1_048_576 - 2);
    await here.send(`"${large}"`);
    await here.send(`${large}--`);
    const { processed, deadLetters } = await here.consume(2);
    expect(processed[0]?.value === large).toBe(true);
    expect(deadLetters[0]?.content === `${large}--`).toBe(true);
  });
});
