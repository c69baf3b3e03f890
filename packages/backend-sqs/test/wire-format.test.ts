import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { CreateTopicCommand, SNSClient } from '@aws-sdk/client-sns';
import { GetQueueUrlCommand, SendMessageCommand, SQSClient } from '@aws-sdk/client-sqs';
import type { Message } from '@melange/core';
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  canRun,
  documentedExample,
  toolTimeoutMs,
} from '../../conformance/test/support/documented-example.ts';
import { client } from './support/broker.ts';
import { backendAt, drain, isMissing, sharedUrl, uniqueName } from './support/scene.ts';

const url = sharedUrl as string;
const hasAwsCli = await canRun('aws', '--version');
const hasBoto3 = await canRun('python3', '-c', 'import boto3');
const noAwsCli = hasAwsCli ? '' : ' (skipped: the AWS CLI is not installed)';
const noBoto3 = hasBoto3 ? '' : ' (skipped: python3 has no boto3)';

/** What the tools find their way by. */
const environment = {
  ...process.env,
  AWS_ENDPOINT_URL: url,
  AWS_REGION: client.region,
  AWS_DEFAULT_REGION: client.region,
  AWS_ACCESS_KEY_ID: client.credentials.accessKeyId,
  AWS_SECRET_ACCESS_KEY: client.credentials.secretAccessKey,
  AWS_PAGER: '',
};

async function scene() {
  const backend = backendAt(url);
  const [queue, topic] = [uniqueName(), uniqueName()];
  onTestFinished(async () => {
    const janitor = backendAt(url);
    await janitor.deleteQueue(queue);
    await janitor.deleteTopic(topic);
  });
  await backend.declareQueue(queue, { topics: [topic], filter: ['OrderPlaced'] });
  const options = { ...client, endpoint: url };
  const [sqs, sns] = [new SQSClient(options), new SNSClient(options)];
  onTestFinished(() => {
    sqs.destroy();
    sns.destroy();
  });
  const { QueueUrl = '' } = await sqs.send(new GetQueueUrlCommand({ QueueName: queue }));
  const { TopicArn = '' } = await sns.send(new CreateTopicCommand({ Name: topic }));
  const read = async (): Promise<Message[]> => drain(backend, queue);
  return { sqs, QueueUrl, TopicArn, read };
}

const expected = {
  id: '8f0d6a52-5d5e-4c41-9d4c-2f2a3a4e9b11',
  content: '{"orderId":"o-1"}',
  manifest: 'OrderPlaced',
  serializerId: 1,
  key: undefined,
  headers: {},
  publishedAt: undefined,
};

describe.skipIf(isMissing)('docs/wire-format.md (skipped without SQS_URL)', () => {
  test("the parameters of the AWS CLI's example are read", async () => {
    const { sqs, QueueUrl, read } = await scene();
    const example = await documentedExample('SQS', 'sh', {});
    const [, MessageBody] = /--message-body '([^']*)'/.exec(example) ?? [];
    const [, attributes = ''] = /--message-attributes '([^']*)'/.exec(example) ?? [];
    const MessageAttributes = JSON.parse(attributes) as Record<string, { DataType: string }>;
    await sqs.send(new SendMessageCommand({ QueueUrl, MessageBody, MessageAttributes }));
    expect(await read()).toEqual([expected]);
  });

  test.skipIf(!hasAwsCli)(
    `the AWS CLI sends what is read${noAwsCli}`,
    { timeout: toolTimeoutMs },
    async () => {
      const { QueueUrl, TopicArn, read } = await scene();
      const env = { ...environment, QUEUE_URL: QueueUrl, TOPIC_ARN: TopicArn };
      // Some versions look at no variable for the address.
      const aws = 'aws() { command aws --endpoint-url "$AWS_ENDPOINT_URL" "$@"; }\n';
      await promisify(execFile)('bash', ['-ec', aws + (await documentedExample('SQS', 'sh', {}))], { env });
      expect(await read()).toEqual([expected]);
      await promisify(execFile)('bash', ['-ec', aws + (await documentedExample('SNS', 'sh', {}))], { env });
      expect(await read()).toEqual([{ ...expected, id: expect.stringMatching(/./) }]);
    },
  );

  test.skipIf(!hasBoto3)(
    `boto3 sends what is read, protobuf too${noBoto3}`,
    { timeout: toolTimeoutMs },
    async () => {
      const { QueueUrl, read } = await scene();
      const code = await documentedExample('SQS', 'python', { QUEUE_URL: JSON.stringify(QueueUrl) });
      await promisify(execFile)('python3', ['-c', code], { env: environment });
      expect(await read()).toEqual([
        {
          ...expected,
          id: expect.stringMatching(/^[0-9a-f-]{36}$/),
          content: Uint8Array.from(Buffer.from('0a036f2d31', 'hex')),
          manifest: 'shop.v1.OrderPlaced',
          serializerId: 3,
        },
      ]);
    },
  );
});
