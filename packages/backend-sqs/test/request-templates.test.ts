import { createHash, createHmac } from 'node:crypto';
import {
  ChangeMessageVisibilityBatchCommand,
  CreateQueueCommand,
  DeleteMessageBatchCommand,
  QueueDoesNotExist,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  SQSClient,
  type SQSClientConfig,
} from '@aws-sdk/client-sqs';
import { afterEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { RequestTemplates } from '../src/client/request-templates.ts';
import { client as settings } from './support/broker.ts';
import { type Answer, type Call, first, HttpProxy, refusal } from './support/http-proxy.ts';
import { isMissing, sharedUrl, uniqueName } from './support/scene.ts';

/** Headers of one request alone, and of its body. */
const own = [
  'amz-sdk-invocation-id',
  'authorization',
  'content-length',
  'x-amz-content-sha256',
  'x-amz-date',
];

const anHour = 3_600_000;

afterEach(() => {
  vi.unstubAllEnvs();
});

/** A queue, and a client with templates that reaches it through a proxy and counts the requests that the SDK makes. */
async function scene(options: Partial<SQSClientConfig> = {}) {
  const proxy = await HttpProxy.start(sharedUrl as string);
  onTestFinished(() => proxy[Symbol.asyncDispose]());
  const client = new SQSClient({ ...settings, endpoint: proxy.url, maxAttempts: 1, ...options });
  onTestFinished(() => client.destroy());
  const { QueueUrl } = await client.send(new CreateQueueCommand({ QueueName: uniqueName() }));
  proxy.calls.length = 0;
  client.middlewareStack.use(new RequestTemplates(client.config, () => undefined));
  let bySdk = 0;
  client.middlewareStack.add(
    (next) => (args) => {
      bySdk += 1;
      return next(args);
    },
    { step: 'serialize' },
  );
  const publish = (MessageBody: string) => {
    const MessageAttributes = { note: { DataType: 'String', StringValue: 'hällo "\n" \u{1F600}' } };
    const Entries = [{ Id: 'a', MessageBody, MessageAttributes, DelaySeconds: 0 }];
    return client.send(new SendMessageBatchCommand({ QueueUrl, Entries }));
  };
  const receive = async () => {
    const command = new ReceiveMessageCommand({
      QueueUrl,
      MessageAttributeNames: ['All'],
      MessageSystemAttributeNames: ['ApproximateReceiveCount'],
    });
    const { Messages: [message] = [] } = await client.send(command);
    return message;
  };
  return { client, proxy, QueueUrl, publish, receive, bySdk: () => bySdk };
}

/** The signature as AWS computes it from a request, by its documentation of Signature Version 4. */
function signatureOf({ headers, body, path }: Call, secret: string): string {
  const hash = (text: string): string => createHash('sha256').update(text).digest('hex');
  const sign = (key: string | Buffer, text: string): Buffer =>
    createHmac('sha256', key).update(text).digest();
  const [, scope = '', names = ''] =
    /Credential=[^/]+\/([^,]+), SignedHeaders=([^,]+),/.exec(headers.authorization ?? '') ?? [];
  const lines = names.split(';').map((name) => `${name}:${String(headers[name]).trim()}`);
  const canonical = ['POST', path, '', ...lines, '', names, hash(body)].join('\n');
  const toSign = ['AWS4-HMAC-SHA256', headers['x-amz-date'], scope, hash(canonical)].join('\n');
  const key = scope.split('/').reduce<string | Buffer>(sign, `AWS4${secret}`);
  return sign(key, toSign).toString('hex');
}

function signedAt(call: Call | undefined): number {
  const [, date, hours, minutes, seconds] =
    /(.*)T(..)(..)(..)Z/.exec(String(call?.headers['x-amz-date'])) ?? [];
  return Date.parse(`${date?.replace(/(....)(..)(..)/, '$1-$2-$3')}T${hours}:${minutes}:${seconds}Z`);
}

describe.skipIf(isMissing)('templates of requests (skipped without SQS_URL)', () => {
  test('the SDK makes the first request of each command; the next ones differ in what is their own', async () => {
    const { client, proxy, QueueUrl, publish, receive, bySdk } = await scene();
    const cycle = async (): Promise<unknown> => {
      const sent = await publish('hällo "\n" \u{1F600}');
      const { ReceiptHandle, Body, Attributes, MessageAttributes } = (await receive()) ?? {};
      const change = { QueueUrl, Entries: [{ Id: 'a', ReceiptHandle, VisibilityTimeout: 60 }] };
      const changed = await client.send(new ChangeMessageVisibilityBatchCommand(change));
      const deletion = { QueueUrl, Entries: [{ Id: 'a', ReceiptHandle }] };
      const deleted = await client.send(new DeleteMessageBatchCommand(deletion));
      const results = [sent, changed, deleted].map(({ Successful, Failed }) => [Successful?.[0]?.Id, Failed]);
      return { results, Body, Attributes, MessageAttributes };
    };
    const common = ({ action, path, headers, body }: Call) => ({
      action,
      path,
      names: Object.keys(headers).sort(),
      headers: Object.entries(headers).filter(([name]) => !own.includes(name)),
      members: Object.keys(JSON.parse(body) as object).sort(),
    });
    const asTheSdkDoes = await cycle();
    expect(bySdk()).toBe(4);
    expect(await cycle()).toEqual(asTheSdkDoes);
    expect(bySdk()).toBe(4);
    expect(proxy.calls.slice(4).map(common)).toEqual(proxy.calls.slice(0, 4).map(common));
    expect(new Set(proxy.calls.map(({ headers }) => headers['amz-sdk-invocation-id'])).size).toBe(8);
  });

  test('binary attributes of others are bytes', async () => {
    const { client, QueueUrl, receive, bySdk } = await scene();
    const bytes = { DataType: 'Binary', BinaryValue: Uint8Array.of(0, 1, 254, 255) };
    for (const Id of ['a', 'b']) {
      const Entries = [{ Id, MessageBody: 'text', MessageAttributes: { bytes } }];
      await client.send(new SendMessageBatchCommand({ QueueUrl, Entries }));
    }
    // What holds bytes is no JSON: no template was made of it.
    expect(bySdk()).toBe(2);
    for (const count of [3, 3]) {
      const { BinaryValue = [] } = (await receive())?.MessageAttributes?.bytes ?? {};
      expect([...BinaryValue]).toEqual([0, 1, 254, 255]);
      expect(bySdk()).toBe(count);
    }
  });

  test('what is sent is what was signed, with the credentials of the moment', async () => {
    let keys = 0;
    const credentials = async () => {
      keys += 1;
      const sessionToken = `session-${keys}`;
      return {
        accessKeyId: `key-${keys}`,
        secretAccessKey: `secret-${keys}`,
        sessionToken,
        expiration: new Date(),
      };
    };
    const { proxy, publish, bySdk } = await scene({ credentials });
    for (const text of ['by the SDK', 'from its template', 'hällo']) await publish(text);
    expect(bySdk()).toBe(1);
    const used = proxy.calls.map((call) => {
      const key = /Credential=key-(\d+)\//.exec(call.headers.authorization ?? '')?.[1];
      expect(call.headers['x-amz-security-token']).toBe(`session-${key}`);
      expect(call.headers.authorization).toContain(`Signature=${signatureOf(call, `secret-${key}`)}`);
      return key;
    });
    expect(new Set(used).size).toBe(3);
  });

  test('a refusal is the error that the SDK makes of it', async () => {
    const { proxy, publish } = await scene();
    const refuse = refusal('QueueDoesNotExist', 400, 'AWS.SimpleQueueService.NonExistentQueue');
    const errorOf = async () => {
      proxy.interfere = first(1, 'SendMessageBatch', () => ({ refuse }));
      const error: unknown = await publish('text').catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(QueueDoesNotExist);
      return { ...(error as QueueDoesNotExist), message: (error as QueueDoesNotExist).message };
    };
    const asTheSdkMakesIt = await errorOf();
    await publish('text');
    expect(await errorOf()).toEqual(asTheSdkMakesIt);
    expect(proxy.calls).toHaveLength(3);
  });

  test('an answer that is no JSON, or has null for an empty list, is read by the SDK', async () => {
    const { proxy, publish, bySdk } = await scene();
    await publish('text');
    const answering = (bodyOf: (body: string) => string) => ({
      answer: ({ status, body }: Answer): Answer => ({ status, body: bodyOf(body) }),
    });
    proxy.interfere = () => answering((body) => JSON.stringify({ ...JSON.parse(body), Failed: null }));
    expect((await publish('text')).Failed).toBeUndefined();
    proxy.interfere = () => answering(() => '<html>');
    await expect(publish('text')).rejects.toMatchObject({ name: 'SyntaxError' });
    expect(bySdk()).toBe(3);
    expect(proxy.calls).toHaveLength(3);
  });

  test('a wrong clock is corrected by what the service says', async () => {
    const { proxy, publish, bySdk } = await scene();
    await publish('text');
    const headers = { date: new Date(Date.now() + anHour).toUTCString() };
    proxy.interfere = first(1, 'SendMessageBatch', () => ({
      refuse: { ...refusal('InvalidSignatureException'), headers },
    }));
    await expect(publish('text')).rejects.toMatchObject({ $metadata: { clockSkewCorrected: true } });
    proxy.calls.length = 0;
    const requests = bySdk();
    await publish('text');
    expect(bySdk()).toBe(requests);
    expect(Math.abs(signedAt(proxy.calls[0]) - Date.now() - anHour)).toBeLessThan(anHour / 2);
  });

  test('an answer that breaks off is a failure', async () => {
    const { proxy, publish } = await scene();
    await publish('text');
    proxy.interfere = () => ({ cut: true });
    await expect(publish('text')).rejects.toMatchObject({ code: 'ECONNRESET' });
  });

  test('where a header may belong to one request alone, and in Lambda, the SDK makes every request', async () => {
    const { client, publish, bySdk } = await scene();
    client.middlewareStack.add(
      (next) => (args) => {
        Object.assign((args.request as { headers: object }).headers, { traceparent: '00-1-2-01' });
        return next(args);
      },
      { step: 'build' },
    );
    await publish('one');
    await publish('two');
    expect(bySdk()).toBe(2);
    const lambda = await scene();
    vi.stubEnv('AWS_LAMBDA_FUNCTION_NAME', 'orders');
    await lambda.publish('one');
    await lambda.publish('two');
    expect(lambda.bySdk()).toBe(2);
  });
});
