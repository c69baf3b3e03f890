import {
  GetQueueUrlCommand,
  ReceiveMessageCommand,
  SendMessageCommand,
  SQSClient,
} from '@aws-sdk/client-sqs';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { client } from './support/broker.ts';
import { entriesOf, failEntries, first, refusal } from './support/http-proxy.ts';
import {
  drain,
  eventually,
  isMissing,
  message,
  numbered,
  queueThroughProxy,
  receive,
  sharedUrl,
  throughProxy,
  uniqueName,
  writers,
} from './support/scene.ts';

describe.skipIf(isMissing)('settling under failures (skipped without SQS_URL)', () => {
  test('a delete that failed is sent again while the receipt holds, and only that entry', async () => {
    const { backend, proxy, queue } = await queueThroughProxy();
    await backend.publishToQueue(queue, numbered(10));
    proxy.interfere = first(3, 'DeleteMessageBatch', (call) =>
      failEntries(call, ({ Id }) => Id === '0', { Code: 'InternalError', SenderFault: false }),
    );
    const { deliveries } = await receive(backend, queue);
    await eventually(() => expect(deliveries).toHaveLength(10));
    await Promise.all(deliveries.map((delivery) => delivery.acknowledge()));
    const sizes = proxy.calls
      .filter(({ action }) => action === 'DeleteMessageBatch')
      .map((call) => entriesOf(call).length);
    expect(sizes).toEqual([10, 1, 1, 1]);
    expect(await drain(backend, queue)).toEqual([]);
  });

  test('the delete that failed is the one that SQS names, wherever it stands in the answer', async () => {
    const { backend, proxy, queue } = await queueThroughProxy({ acknowledgeLingerMs: 50 });
    await backend.publishToQueue(queue, numbered(10));
    const failed: unknown[] = [];
    proxy.interfere = first(1, 'DeleteMessageBatch', (call) => {
      failed.push(...entriesOf(call).filter(({ Id }) => Id === '7' || Id === '3'));
      const interference = failEntries(call, ({ Id }) => Id === '7' || Id === '3', {
        Code: 'InternalError',
        SenderFault: false,
      });
      return {
        ...interference,
        answer: (given) => {
          const { body = '', status = 200 } = interference?.answer?.(given) ?? {};
          const { Failed, ...rest } = JSON.parse(body) as { Failed: object[] };
          return { status, body: JSON.stringify({ ...rest, Failed: Failed.reverse() }) };
        },
      };
    });
    const { deliveries } = await receive(backend, queue);
    await eventually(() => expect(deliveries).toHaveLength(10));
    await Promise.all(deliveries.map((delivery) => delivery.acknowledge()));
    const handles = (entries: readonly unknown[]): unknown[] =>
      entries.map((entry) => (entry as { ReceiptHandle: unknown }).ReceiptHandle).sort();
    const [, again] = proxy.calls.filter(({ action }) => action === 'DeleteMessageBatch');
    expect(again && handles(entriesOf(again))).toEqual(handles(failed));
    expect(await drain(backend, queue)).toEqual([]);
  });

  test('deletes that are not taken show in health until they are, and the log says so once', async () => {
    const lines: string[] = [];
    const ignore = (): void => undefined;
    const note = (text: string): void => void lines.push(text);
    const logger = { debug: ignore, error: note, info: note, warn: note };
    const { backend, proxy, queue } = await queueThroughProxy({ logger });
    await backend.publishToQueue(queue, numbered(1));
    proxy.interfere = ({ action }) =>
      action === 'DeleteMessageBatch' ? { refuse: refusal('ServiceUnavailable', 503) } : undefined;
    const { deliveries } = await receive(backend, queue);
    await eventually(() => expect(deliveries).toHaveLength(1));
    const acknowledged = deliveries[0]?.acknowledge();
    await eventually(() => expect(proxy.count('DeleteMessageBatch')).toBeGreaterThan(2));
    expect(await backend.health()).toMatchObject({
      status: 'degraded',
      detail: expect.stringContaining(`settling messages of queue "${queue}"`),
    });
    proxy.interfere = () => undefined;
    await acknowledged;
    await eventually(async () => expect(await backend.health()).toEqual({ status: 'healthy' }));
    const subject = `trouble settling messages of queue "${queue}"`;
    expect(lines).toEqual([subject, `recovered from ${subject}`]);
  });

  test('a dead-letter queue that is gone shows in health, and the message comes again as the same attempt', async () => {
    const { backend } = await throughProxy();
    const [queue, deadLetterQueue] = [uniqueName(), uniqueName()];
    await backend.declareQueue(queue, { deadLetterQueue });
    await backend.publishToQueue(queue, numbered(1));
    const { deliveries } = await receive(backend, queue);
    await eventually(() => expect(deliveries).toHaveLength(1));
    await backend.deleteQueue(deadLetterQueue);
    await expect(deliveries[0]?.deadLetter({ reason: 'test' })).rejects.toMatchObject({
      code: 'CONFIGURATION',
      message: expect.stringContaining(deadLetterQueue),
    });
    expect(await backend.health()).toMatchObject({
      status: 'degraded',
      detail: expect.stringContaining(`settling messages of queue "${queue}"`),
    });
    await deliveries[0]?.retry({ because: 'not-run' });
    await eventually(() => expect(deliveries).toHaveLength(2));
    expect(deliveries[1]).toMatchObject({ attempt: 1, redeliveries: 0 });
    await backend.declareQueue(deadLetterQueue);
    await deliveries[1]?.deadLetter({ reason: 'test' });
    expect(await drain(backend, deadLetterQueue)).toHaveLength(1);
    expect(await backend.health()).toEqual({ status: 'healthy' });
  });

  test('a delete longer in failing than a visibility goes on being tried, as the lease is extended', async () => {
    const { backend, proxy, queue } = await queueThroughProxy({ visibilityTimeoutSeconds: 2 });
    await backend.publishToQueue(queue, numbered(1));
    const until = Date.now() + 3_000;
    proxy.interfere = ({ action }) =>
      action === 'DeleteMessageBatch' && Date.now() < until
        ? { refuse: refusal('ServiceUnavailable', 503) }
        : undefined;
    const { deliveries } = await receive(backend, queue);
    await eventually(() => expect(deliveries).toHaveLength(1));
    await deliveries[0]?.acknowledge();
    expect(Date.now()).toBeGreaterThanOrEqual(until);
    expect(deliveries).toHaveLength(1);
    expect(await drain(backend, queue)).toEqual([]);
  });

  test('a delete that is refused for good rejects, and the message comes again', async () => {
    const { backend, proxy, queue } = await queueThroughProxy({ visibilityTimeoutSeconds: 2 });
    await backend.publishToQueue(queue, numbered(1));
    proxy.interfere = first(1, 'DeleteMessageBatch', () => ({
      refuse: refusal('AccessDeniedException', 403),
    }));
    const { deliveries } = await receive(backend, queue);
    await eventually(() => expect(deliveries).toHaveLength(1));
    await expect(deliveries[0]?.acknowledge()).rejects.toMatchObject({ code: 'CONFIGURATION' });
    await eventually(() => expect(deliveries).toHaveLength(2));
    expect(deliveries[1]?.attempt).toBe(1);
    await deliveries[1]?.acknowledge();
  });

  test('a dead letter that cannot be copied rejects, and the message comes again', async () => {
    const { backend, proxy } = await throughProxy({ publishTimeoutMs: 300 });
    const [queue, deadLetterQueue] = [uniqueName(), uniqueName()];
    await backend.declareQueue(queue, { deadLetterQueue });
    await backend.publishToQueue(queue, numbered(1));
    let isBroken = true;
    proxy.interfere = ({ action }) =>
      isBroken && action === 'SendMessageBatch' ? { refuse: refusal('InternalError', 500) } : undefined;
    const { deliveries } = await receive(backend, queue);
    await eventually(() => expect(deliveries).toHaveLength(1));
    await expect(deliveries[0]?.deadLetter({ reason: 'test' })).rejects.toMatchObject({
      code: 'PUBLISH_TIMEOUT',
    });
    isBroken = false;
    await eventually(() => expect(deliveries).toHaveLength(2));
    await deliveries[1]?.deadLetter({ reason: 'test' });
    expect(await drain(backend, deadLetterQueue)).toHaveLength(1);
  });

  test('a message of the largest size is dead-lettered whole, without circumstances that have no room', async () => {
    const { backend } = await throughProxy();
    const [queue, deadLetterQueue] = [uniqueName(), uniqueName()];
    await backend.declareQueue(queue, { deadLetterQueue });
    const empty = message('');
    const overhead =
      'manifest'.length + 'String'.length + 'Test'.length + 'serializer_id'.length + 'Number'.length;
    const room = 1_048_576 - overhead - 1 - 'message_idString'.length - empty.id.length;
    const sent = { ...empty, content: 'x'.repeat(room) };
    await backend.publishToQueue(queue, [sent]);
    const { deliveries } = await receive(backend, queue);
    await eventually(() => expect(deliveries).toHaveLength(1));
    await deliveries[0]?.deadLetter({ reason: 'test' });
    const [copy] = await drain(backend, deadLetterQueue);
    expect(copy?.id).toBe(sent.id);
    expect(copy?.content === sent.content).toBe(true);
    expect(copy?.headers).toEqual({});
  });

  test.each(writers)(
    'a dead letter keeps the types of its attributes, written by $writer',
    async ({ lambda }) => {
      vi.stubEnv('AWS_LAMBDA_FUNCTION_NAME', lambda);
      onTestFinished(() => void vi.unstubAllEnvs());
      const { backend } = await throughProxy();
      const [queue, deadLetterQueue] = [uniqueName(), uniqueName()];
      await backend.declareQueue(queue, { deadLetterQueue });
      const sqs = new SQSClient({ ...client, endpoint: sharedUrl as string });
      onTestFinished(() => sqs.destroy());
      const urlOf = async (name: string): Promise<string | undefined> =>
        (await sqs.send(new GetQueueUrlCommand({ QueueName: name }))).QueueUrl;
      const MessageAttributes = {
        weight: { DataType: 'Number', StringValue: '12.50' },
        image: { DataType: 'Binary.png', BinaryValue: Uint8Array.of(0xff, 0) },
        labelled: { DataType: 'String.kind', StringValue: 'k' },
      };
      const QueueUrl = await urlOf(queue);
      // The second copy is written from the template of the first one.
      for (const MessageBody of ['1', '2'])
        await sqs.send(new SendMessageCommand({ QueueUrl, MessageBody, MessageAttributes }));
      const { deliveries } = await receive(backend, queue);
      await eventually(() => expect(deliveries).toHaveLength(2));
      for (const delivery of deliveries) await delivery.deadLetter({ reason: 'test' });
      const request = { QueueUrl: await urlOf(deadLetterQueue), MessageAttributeNames: ['All'] };
      const { Messages = [] } = await sqs.send(
        new ReceiveMessageCommand({ ...request, MaxNumberOfMessages: 10 }),
      );
      expect(Messages).toHaveLength(2);
      for (const { MessageAttributes: attributes = {} } of Messages) {
        const { image, ...others } = attributes;
        expect(others).toMatchObject({
          weight: { DataType: 'Number', StringValue: '12.50' },
          labelled: { DataType: 'String.kind', StringValue: 'k' },
        });
        expect(image?.DataType).toBe('Binary.png');
        expect([...(image?.BinaryValue ?? [])]).toEqual([0xff, 0]);
      }
    },
  );

  test('a dead letter that SQS refuses as it is goes encoded, once', async () => {
    const { backend, proxy } = await throughProxy();
    const [queue, deadLetterQueue] = [uniqueName(), uniqueName()];
    await backend.declareQueue(queue, { deadLetterQueue });
    const sent = message('content', { headers: { odd: 'value' } });
    await backend.publishToQueue(queue, [sent]);
    const { deliveries } = await receive(backend, queue);
    await eventually(() => expect(deliveries).toHaveLength(1));
    const code = 'InvalidParameterValue';
    proxy.interfere = first(1, 'SendMessageBatch', (call) =>
      failEntries(call, () => true, { Code: code, SenderFault: true }),
    );
    await deliveries[0]?.deadLetter({ reason: 'test' });
    const copies = await drain(backend, deadLetterQueue);
    expect(copies).toMatchObject([{ id: sent.id, content: 'content', headers: { odd: 'value' } }]);
    const [, , encoded] = proxy.calls.filter(({ action }) => action === 'SendMessageBatch');
    expect(encoded && entriesOf(encoded)[0]?.MessageBody).toBe(Buffer.from('content').toString('base64'));
  });
});
