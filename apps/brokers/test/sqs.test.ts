import { afterAll, expect, test } from 'vitest';
import { bringUp, type PrivateSqs, startSqs } from '../src/index.ts';
import { brokers } from '../src/table.ts';

// Both packages come from npm: a machine without it has no emulator to test.
const started: PrivateSqs | string = await startSqs().catch((error: Error) => error.message);
afterAll(async () => {
  if (typeof started !== 'string') await started.stop();
});

async function call(url: string, action: string, parameters: object): Promise<Record<string, unknown>> {
  const headers = { 'content-type': 'application/x-amz-json-1.0', 'x-amz-target': `AmazonSQS.${action}` };
  const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(parameters) });
  return (await response.json()) as Record<string, unknown>;
}

test('a restart keeps queues and messages, those that were given back too; stopping ends it', async (context) => {
  if (typeof started === 'string') return context.skip(`the emulator cannot be had: ${started}`);
  const { QueueUrl } = await call(started.url, 'CreateQueue', { QueueName: 'kept' });
  await call(started.url, 'SendMessage', { QueueUrl, MessageBody: 'given back' });
  await call(started.url, 'SendMessage', { QueueUrl, MessageBody: 'untouched' });
  const { Messages } = await call(started.url, 'ReceiveMessage', { QueueUrl });
  const [{ ReceiptHandle }] = Messages as [{ ReceiptHandle: string }];
  await call(started.url, 'ChangeMessageVisibility', { QueueUrl, ReceiptHandle, VisibilityTimeout: 0 });
  await started.restart();
  const again = await call(started.url, 'ReceiveMessage', { QueueUrl, MaxNumberOfMessages: 10 });
  const bodies = (again.Messages as { Body: string }[]).map(({ Body }) => Body);
  expect(bodies.sort()).toEqual(['given back', 'untouched']);
  await started.stop();
  expect(await brokers.get('sqs')?.answers(started.url)).toBe(false);
});

test('it listens on this machine only', async (context) => {
  if (typeof started === 'string') return context.skip(`the emulator cannot be had: ${started}`);
  const own = await startSqs();
  try {
    const elsewhere = own.url.replace('127.0.0.1', '127.0.0.2');
    expect(await brokers.get('sqs')?.answers(own.url)).toBe(true);
    expect(await brokers.get('sqs')?.answers(elsewhere)).toBe(false);
  } finally {
    await own.stop();
  }
});

test('an address in the environment that answers is used', async (context) => {
  if (process.env.SQS_URL === undefined) return context.skip('SQS_URL is not set');
  expect(await bringUp(['sqs'])).toEqual([{ name: 'sqs', url: process.env.SQS_URL, origin: 'environment' }]);
});
