import { GetQueueUrlCommand, SQSClient, type SQSClientConfig } from '@aws-sdk/client-sqs';

/** An emulator wants some credentials, and takes any; where some are configured, those are used. */
export function sqsSettings(endpoint: string): SQSClientConfig {
  const { AWS_REGION: region = 'us-east-1', AWS_ACCESS_KEY_ID: given } = process.env;
  const anyone = { credentials: { accessKeyId: 'any', secretAccessKey: 'any' } };
  return { endpoint, region, ...(given === undefined && anyone) };
}

/** A client with as many connections as there may be requests at the same time. */
export async function openSqs(
  endpoint: string,
  queue: string,
  maxSockets: number,
): Promise<{ readonly client: SQSClient; readonly url: string }> {
  const client = new SQSClient({
    ...sqsSettings(endpoint),
    requestHandler: { httpAgent: { maxSockets }, httpsAgent: { maxSockets } },
  });
  const { QueueUrl = '' } = await client.send(new GetQueueUrlCommand({ QueueName: queue }));
  return { client, url: QueueUrl };
}
