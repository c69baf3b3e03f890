import { createHash } from 'node:crypto';
import { type Logger, MelangeError, PublishError } from '@melange/core';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { SqsBackend } from '../src/index.ts';

const maxUnderWay = 20_000;

import { client } from './support/broker.ts';
import {
  type Answer,
  type Call,
  entriesOf,
  failEntries,
  first,
  type Interference,
  refusal,
} from './support/http-proxy.ts';
import {
  backendAt,
  drain,
  eventually,
  isMissing,
  message,
  numbered,
  queueThroughProxy,
  sharedUrl,
  throughProxy,
  uniqueName,
  writers,
} from './support/scene.ts';

/** As SQS refuses the request of a client whose clock is an hour late. */
function expiredSignature(): Answer {
  const date = new Date(Date.now() + 3_600_000).toUTCString();
  return { ...refusal('InvalidSignatureException'), headers: { date } };
}

/** Keeps warnings and news. */
function logTo(lines: string[]): Logger {
  const ignore = (): void => undefined;
  const keep = (level: string) => (text: string) => void lines.push(`${level} ${text}`);
  return { debug: ignore, error: ignore, info: keep('info'), warn: keep('warn') };
}

async function publishErrorOf(published: Promise<void>): Promise<PublishError> {
  const error = await published.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(PublishError);
  return error as PublishError;
}

describe.skipIf(isMissing).each(writers)(
  'publishing by $writer under failures (skipped without SQS_URL)',
  ({ lambda }) => {
    beforeEach(() => {
      vi.stubEnv('AWS_LAMBDA_FUNCTION_NAME', lambda);
    });

    afterEach(() => {
      vi.unstubAllEnvs();
    });

    test.each([
      { Code: 'InternalError', SenderFault: false },
      { Code: 'RequestThrottled', SenderFault: true },
    ])('entries that failed for a moment are sent again, and only those: $Code', async (failure) => {
      const { backend, proxy, queue } = await queueThroughProxy();
      proxy.interfere = first(1, 'SendMessageBatch', (call) =>
        failEntries(call, ({ MessageBody }) => ['3', '7'].includes(MessageBody ?? ''), failure),
      );
      await backend.publishToQueue(queue, numbered(10));
      const [all, again, ...more] = proxy.calls.filter(({ action }) => action === 'SendMessageBatch');
      expect(entriesOf(all as Call)).toHaveLength(10);
      expect(entriesOf(again as Call).map(({ MessageBody }) => MessageBody)).toEqual(['3', '7']);
      expect(more).toEqual([]);
      const arrived = (await drain(backend, queue)).map(({ content }) => Number(content));
      expect(arrived.sort((left, right) => left - right)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    });

    test('an entry that was refused rejects for itself; the others are safe', async () => {
      const { backend, proxy, queue } = await queueThroughProxy();
      const failure = { Code: 'InvalidParameterValue', SenderFault: true };
      proxy.interfere = (call) =>
        call.action === 'SendMessageBatch'
          ? failEntries(call, ({ MessageBody }) => MessageBody === '4', failure)
          : undefined;
      const sent = numbered(10);
      const error = await publishErrorOf(backend.publishToQueue(queue, sent));
      expect(error.failures.map(({ messageId }) => messageId)).toEqual([sent[4]?.id]);
      expect(error.failures[0]?.error).toMatchObject({ code: 'CONFIGURATION' });
      expect(await drain(backend, queue)).toHaveLength(9);
    });

    test('of concurrent publishes that share a request only the one rejects whose entry was refused', async () => {
      const { backend, proxy, queue } = await queueThroughProxy();
      proxy.interfere = (call) =>
        call.action === 'SendMessageBatch'
          ? failEntries(call, ({ MessageBody }) => MessageBody === '4', {
              Code: 'Refused',
              SenderFault: true,
            })
          : undefined;
      const published = await Promise.allSettled(
        numbered(10).map((one) => backend.publishToQueue(queue, [one])),
      );
      expect(proxy.count('SendMessageBatch')).toBe(1);
      expect(published.flatMap(({ status }, index) => (status === 'rejected' ? [index] : []))).toEqual([4]);
    });

    test('a request refused for one entry is sent entry by entry, so that the others are safe', async () => {
      const { backend, proxy, queue } = await queueThroughProxy();
      proxy.interfere = (call) =>
        call.action === 'SendMessageBatch' && entriesOf(call).some(({ MessageBody }) => MessageBody === '4')
          ? { refuse: refusal('InvalidParameterValue') }
          : undefined;
      const sent = numbered(6);
      const error = await publishErrorOf(backend.publishToQueue(queue, sent));
      expect(error.failures.map(({ messageId }) => messageId)).toEqual([sent[4]?.id]);
      expect(await drain(backend, queue)).toHaveLength(5);
    });

    test.each<[string, Interference]>([
      ['a failure of the service', { refuse: refusal('InternalError', 500) }],
      ['a throttled request', { refuse: refusal('RequestThrottled', 403) }],
      ['an answer that is no JSON', { refuse: { status: 503, body: '<html>busy</html>' } }],
      ['a throttled key', { refuse: refusal('KmsThrottled', 400, 'KMS.ThrottlingException') }],
      ['a throttled request of any service', { refuse: refusal('ThrottlingException') }],
      ['a time in the signature that was wrong by an hour', { refuse: expiredSignature() }],
    ])('%s is followed by another try', async (_, interference) => {
      const { backend, proxy, queue } = await queueThroughProxy();
      proxy.interfere = first(1, 'SendMessageBatch', () => interference);
      await backend.publishToQueue(queue, numbered(2));
      expect(proxy.count('SendMessageBatch')).toBe(2);
      expect(await drain(backend, queue)).toHaveLength(2);
    });

    test.each([
      refusal('QueueDoesNotExist', 400, 'AWS.SimpleQueueService.NonExistentQueue'),
      refusal('QueueDoesNotExist'),
      refusal('AWS.SimpleQueueService.NonExistentQueue'),
    ])('a queue that is gone is QUEUE_NOT_FOUND, whichever protocol names it: %j', async (refuse) => {
      const { backend, proxy, queue } = await queueThroughProxy();
      proxy.interfere = ({ action }) => (action === 'SendMessageBatch' ? { refuse } : undefined);
      const published = backend.publishToQueue(queue, numbered(2));
      await expect(published).rejects.toMatchObject({ code: 'QUEUE_NOT_FOUND' });
      expect(proxy.count('SendMessageBatch')).toBe(1);
    });

    test('a lost answer is followed by the same message again, with the same id', async () => {
      const { backend, proxy, queue } = await queueThroughProxy();
      proxy.interfere = first(1, 'SendMessageBatch', () => ({ drop: true }));
      const [sent] = numbered(1);
      await backend.publishToQueue(queue, [sent as never]);
      expect((await drain(backend, queue)).map(({ id }) => id)).toEqual([sent?.id, sent?.id]);
    });

    test('what is refused for good rejects at once, without credentials in the text', async () => {
      const { backend, proxy, queue } = await queueThroughProxy();
      proxy.interfere = (call) =>
        call.action === 'SendMessageBatch' ? { refuse: refusal('AccessDeniedException', 403) } : undefined;
      const error = await publishErrorOf(backend.publishToQueue(queue, numbered(1)));
      expect(error.failures[0]?.error).toMatchObject({ code: 'CONFIGURATION' });
      expect(error.message).toContain('AccessDeniedException');
      expect(`${error.message} ${error.stack}`).not.toContain(client.credentials.secretAccessKey);
      expect(proxy.count('SendMessageBatch')).toBe(1);
    });

    test('past the deadline it rejects with the last reason', async () => {
      const { backend, proxy, queue } = await queueThroughProxy();
      proxy.interfere = (call) =>
        call.action === 'SendMessageBatch' ? { refuse: refusal('ServiceUnavailable', 503) } : undefined;
      const error = await publishErrorOf(backend.publishToQueue(queue, numbered(1), { deadlineMs: 300 }));
      expect(error.failures[0]?.error).toMatchObject({ code: 'PUBLISH_TIMEOUT' });
      expect(error.message).toContain('ServiceUnavailable');
    });

    test('text that SQS refuses is sent again encoded', async () => {
      const { backend, proxy, queue } = await queueThroughProxy();
      const failure = { Code: 'InvalidMessageContents', SenderFault: true };
      proxy.interfere = first(1, 'SendMessageBatch', (call) =>
        failEntries(call, ({ MessageBody }) => MessageBody === 'odd', failure),
      );
      await backend.publishToQueue(queue, [message('odd'), message('plain')]);
      const contents = (await drain(backend, queue)).map(({ content }) => content);
      expect(contents.sort()).toEqual(['odd', 'plain']);
    });

    test('what is too large is refused before the call, by message, with its size and the limit', async () => {
      const { backend, proxy, queue } = await queueThroughProxy();
      const [large, small] = [message('x'.repeat(1_048_577)), message('small')];
      const error = await publishErrorOf(backend.publishToQueue(queue, [large, small]));
      expect(error.failures).toEqual([
        {
          messageId: large.id,
          error: expect.objectContaining({ name: 'MessageTooLargeError', code: 'MESSAGE_TOO_LARGE' }),
        },
      ]);
      expect(error.message).toMatch(/10485\d\d|1_?048_?/);
      expect(
        proxy.calls.flatMap((call) => (call.action === 'SendMessageBatch' ? entriesOf(call) : [])),
      ).toHaveLength(1);
      const topic = uniqueName();
      await backend.declareTopic(topic);
      const tooLarge = backend.publishToTopic(topic, [message('x'.repeat(262_145))]);
      expect((await publishErrorOf(tooLarge)).failures[0]?.error).toMatchObject({
        code: 'MESSAGE_TOO_LARGE',
      });
      expect(proxy.count('PublishBatch')).toBe(0);
    });

    test.each([
      [
        'SendMessageBatch',
        'InvalidParameterValue',
        'One or more parameters are invalid. Reason: Message must be shorter than 262144 bytes.',
      ],
      ['PublishBatch', 'InvalidParameter', 'Invalid parameter: Message too long'],
    ])('what is too large for its queue or topic only says so, too: %s', async (sending, code, reason) => {
      const { backend, proxy, queue } = await queueThroughProxy();
      const topic = uniqueName();
      await backend.declareTopic(topic);
      const json = JSON.stringify({ __type: `com.amazonaws.sqs#${code}`, message: reason });
      const xml = `<ErrorResponse><Error><Type>Sender</Type><Code>${code}</Code><Message>${reason}</Message></Error></ErrorResponse>`;
      const isToQueue = sending === 'SendMessageBatch';
      proxy.interfere = ({ action }) =>
        action === sending ? { refuse: { status: 400, body: isToQueue ? json : xml } } : undefined;
      const published = isToQueue
        ? backend.publishToQueue(queue, numbered(1))
        : backend.publishToTopic(topic, numbered(1));
      expect((await publishErrorOf(published)).failures[0]?.error).toMatchObject({
        code: 'MESSAGE_TOO_LARGE',
      });
      await backend.deleteTopic(topic);
    });

    test('batches are bounded by their size too', async () => {
      const { backend, proxy, queue } = await queueThroughProxy();
      await backend.publishToQueue(
        queue,
        Array.from({ length: 10 }, () => message('x'.repeat(200_000))),
      );
      const sizes = proxy.calls
        .filter(({ action }) => action === 'SendMessageBatch')
        .map((call) => entriesOf(call).length);
      expect(sizes).toEqual([5, 5]);
      expect(await drain(backend, queue)).toHaveLength(10);
    });

    test('entries to a topic that failed for a moment are sent again, and only those', async () => {
      const { backend, proxy } = await throughProxy();
      const [topic, queue] = [uniqueName(), uniqueName()];
      await backend.declareQueue(queue, { topics: [topic] });
      proxy.interfere = first(1, 'PublishBatch', ({ body }) => {
        const form = new URLSearchParams(body);
        for (const key of [...form.keys()]) {
          if (key.startsWith('PublishBatchRequestEntries.member.3.')) form.delete(key);
        }
        const failed =
          '<member><Id>2</Id><Code>InternalError</Code><SenderFault>false</SenderFault></member>';
        return {
          body: form.toString(),
          answer: (answer) => ({ ...answer, body: answer.body.replace('<Failed>', `<Failed>${failed}`) }),
        };
      });
      await backend.publishToTopic(topic, numbered(5));
      expect(proxy.count('PublishBatch')).toBe(2);
      const contents = (await drain(backend, queue)).map(({ content }) => content);
      expect(contents.sort()).toEqual(['0', '1', '2', '3', '4']);
      await backend.deleteTopic(topic);
    });
  },
);

test.skipIf(isMissing)(
  'what cannot be asked about shows in health, until it is asked about again',
  async () => {
    const { backend, proxy, queue } = await queueThroughProxy({ requestTimeoutMs: 500 });
    proxy.interfere = () => ({ refuse: refusal('ServiceUnavailable', 503) });
    await expect(backend.describeQueue(queue)).rejects.toMatchObject({ code: 'BROKER_UNAVAILABLE' });
    expect(await backend.health()).toMatchObject({
      status: 'degraded',
      detail: expect.stringContaining(`asking about "${queue}"`),
    });
    proxy.interfere = () => undefined;
    await backend.describeQueue(queue);
    expect(await backend.health()).toEqual({ status: 'healthy' });
  },
);

describe.skipIf(isMissing)('a destination that takes nothing (skipped without SQS_URL)', () => {
  test.each([
    ['refuses the request', refusal('AccessDeniedException', 403)],
    ['fails for a moment', refusal('ServiceUnavailable', 503)],
  ])('is a trouble by itself, others are published to, and it works again: it %s', async (_, refuse) => {
    const lines: string[] = [];
    const { backend, proxy, queue } = await queueThroughProxy({ logger: logTo(lines) });
    const other = uniqueName();
    await backend.declareQueue(other);
    const isOfQueue = ({ action, body }: Call): boolean =>
      action === 'SendMessageBatch' && body.includes(`/${queue}"`);
    proxy.interfere = (call) => (isOfQueue(call) ? { refuse } : undefined);
    for (let count = 0; count < 2; count += 1)
      await publishErrorOf(backend.publishToQueue(queue, numbered(1), { deadlineMs: 300 }));
    await backend.publishToQueue(other, numbered(1));
    expect(await backend.health()).toMatchObject({
      status: 'degraded',
      detail: expect.stringContaining(`publishing to queue "${queue}"`),
    });
    proxy.interfere = () => undefined;
    await backend.publishToQueue(queue, numbered(1));
    expect(await backend.health()).toEqual({ status: 'healthy' });
    expect(lines).toEqual([
      `warn trouble publishing to queue "${queue}"`,
      `info recovered from trouble publishing to queue "${queue}"`,
    ]);
  });

  test('is forgotten when nobody has published to it for 60 s', async () => {
    const { backend, proxy, queue } = await queueThroughProxy();
    proxy.interfere = ({ action }) =>
      action === 'SendMessageBatch' ? { refuse: refusal('AccessDeniedException', 403) } : undefined;
    await publishErrorOf(backend.publishToQueue(queue, numbered(1)));
    const now = performance.now();
    const clock = vi.spyOn(performance, 'now');
    clock.mockReturnValue(now + 55_000);
    expect(await backend.health()).toMatchObject({ status: 'unhealthy' });
    clock.mockReturnValue(now + 60_000);
    expect(await backend.health()).toEqual({ status: 'healthy' });
    clock.mockRestore();
  });
});

test('without credentials it says which ones to give', async () => {
  const credentials = async (): Promise<never> => {
    throw Object.assign(new Error('Could not load credentials from any providers'), {
      name: 'CredentialsProviderError',
    });
  };
  const backend = new SqsBackend({
    client: { region: 'us-east-1', endpoint: 'http://127.0.0.1:1', credentials },
  });
  const error = await backend.declareQueue('orders').catch((thrown: unknown) => thrown);
  expect(MelangeError.is(error, 'CONFIGURATION')).toBe(true);
  expect((error as Error).message).toMatch(/AWS_ACCESS_KEY_ID/);
  await backend.close();
});

describe.skipIf(isMissing)('closing (skipped without SQS_URL)', () => {
  test('waits for publishes that look up the address of a queue and of a topic, while SQS and SNS do not answer', async () => {
    const owner = backendAt(sharedUrl as string);
    const [queue, topic] = [uniqueName(), uniqueName()];
    await owner.declareQueue(queue, { topics: [topic] });
    const { backend, proxy } = await throughProxy();
    let drops = 4;
    proxy.interfere = ({ action }) => {
      if (!['GetQueueUrl', 'ListTopics', 'GetTopicAttributes'].includes(action) || drops === 0)
        return undefined;
      drops -= 1;
      return { drop: true };
    };
    const published = Promise.all([
      backend.publishToQueue(queue, numbered(1)),
      backend.publishToTopic(topic, numbered(1)),
    ]);
    await eventually(() => expect(proxy.count('GetQueueUrl')).toBeGreaterThan(0));
    await backend.close();
    let isOver = false;
    void published.then(() => {
      isOver = true;
    });
    // By then they are over, but for turns of the queue of promises.
    await new Promise((resolve) => setImmediate(resolve));
    expect(isOver).toBe(true);
    expect(await drain(owner, queue)).toHaveLength(2);
  });

  test('more messages than may be under way at once all arrive, also those of one call', {
    timeout: 240_000,
  }, async () => {
    const { backend, proxy, queue } = await queueThroughProxy();
    let taken = 0;
    proxy.interfere = (call) => {
      if (call.action !== 'SendMessageBatch') return undefined;
      const Successful = entriesOf(call).map(({ Id, MessageBody = '' }) => {
        taken += 1;
        return { Id, MessageId: Id, MD5OfMessageBody: createHash('md5').update(MessageBody).digest('hex') };
      });
      return { refuse: { status: 200, body: JSON.stringify({ Successful }) } };
    };
    const call = numbered(maxUnderWay);
    const singles = numbered(5_000);
    const all = [
      backend.publishToQueue(queue, call),
      ...singles.map((one) => backend.publishToQueue(queue, [one])),
    ];
    const outcomes = await Promise.allSettled(all);
    expect(outcomes.filter(({ status }) => status === 'rejected')).toEqual([]);
    expect(taken).toBe(maxUnderWay + 5_000);
  });
});
