import {
  ChangeMessageVisibilityCommand,
  DeleteMessageCommand,
  GetQueueUrlCommand,
  type MessageAttributeValue,
  ReceiveMessageCommand,
  SQSClient,
} from '@aws-sdk/client-sqs';
import type { SqsBatchResponse, SqsEvent, SqsEventRecord } from '../../src/index.ts';

/** Takes what a function answers, and what it throws. */
export type Invoke = (event: SqsEvent) => Promise<SqsBatchResponse>;

/**
 * What Lambda does for an event source of SQS: receives a batch, invokes the function with it, and deletes what the
 * response does not name. What is left comes again when its visibility ends.
 */
export class SqsEventSource implements AsyncDisposable {
  readonly #client: SQSClient;
  readonly #queue: string;
  readonly #visibilityTimeoutSeconds: number;

  /** @param visibilityTimeoutSeconds long, so that only a change of visibility brings a message again within a test. */
  constructor(endpoint: string, queue: string, visibilityTimeoutSeconds = 600) {
    this.#client = new SQSClient({
      region: 'us-east-1',
      endpoint,
      credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    });
    this.#queue = queue;
    this.#visibilityTimeoutSeconds = visibilityTimeoutSeconds;
  }

  /** The next batch, as Lambda writes it; with no records when nothing is visible. */
  async receive(maxMessages = 10, waitSeconds = 0): Promise<SqsEvent> {
    const { Messages = [] } = await this.#client.send(
      new ReceiveMessageCommand({
        QueueUrl: await this.#url(),
        MaxNumberOfMessages: maxMessages,
        WaitTimeSeconds: waitSeconds,
        VisibilityTimeout: this.#visibilityTimeoutSeconds,
        MessageAttributeNames: ['All'],
        MessageSystemAttributeNames: ['All'],
      }),
    );
    const records = Messages.map(
      ({ MessageId, ReceiptHandle, Body, Attributes, MessageAttributes }): SqsEventRecord => ({
        messageId: MessageId as string,
        receiptHandle: ReceiptHandle as string,
        body: Body as string,
        attributes: Attributes ?? {},
        messageAttributes: attributesOf(MessageAttributes),
        eventSourceARN: `arn:aws:sqs:us-east-1:000000000000:${this.#queue}`,
      }),
    );
    // As it travels.
    return JSON.parse(JSON.stringify({ Records: records })) as SqsEvent;
  }

  /** A batch of so many messages, however many receives it takes. */
  async batch(count: number): Promise<SqsEvent> {
    const records: SqsEventRecord[] = [];
    while (records.length < count)
      records.push(...(await this.receive(Math.min(10, count - records.length), 5)).Records);
    return { Records: records };
  }

  /** Deletes what is done. */
  async settle(event: SqsEvent, { batchItemFailures }: SqsBatchResponse): Promise<void> {
    const failed = new Set(batchItemFailures.map(({ itemIdentifier }) => itemIdentifier));
    const QueueUrl = await this.#url();
    for (const { messageId, receiptHandle } of event.Records) {
      if (!failed.has(messageId))
        await this.#client.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle: receiptHandle }));
    }
  }

  /** Lets all of an event come again at once, as if its visibility had ended. */
  async comeAgain(event: SqsEvent): Promise<void> {
    const QueueUrl = await this.#url();
    for (const { receiptHandle } of event.Records)
      await this.#client.send(
        new ChangeMessageVisibilityCommand({ QueueUrl, ReceiptHandle: receiptHandle, VisibilityTimeout: 0 }),
      );
  }

  /** Receives, invokes and settles. */
  async deliver(count: number, invoke: Invoke): Promise<SqsBatchResponse> {
    const event = await this.batch(count);
    const response = await invoke(event);
    await this.settle(event, response);
    return response;
  }

  /** The same with whatever is visible within some seconds. */
  async settleAfter(invoke: Invoke): Promise<void> {
    const event = await this.receive(10, 5);
    if (event.Records.length > 0) await this.settle(event, await invoke(event));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client.destroy();
  }

  async #url(): Promise<string> {
    const { QueueUrl } = await this.#client.send(new GetQueueUrlCommand({ QueueName: this.#queue }));
    return QueueUrl as string;
  }
}

function attributesOf(
  attributes: Readonly<Record<string, MessageAttributeValue>> = {},
): SqsEventRecord['messageAttributes'] {
  return Object.fromEntries(
    Object.entries(attributes).map(([name, { DataType, StringValue, BinaryValue }]) => [
      name,
      {
        dataType: DataType as string,
        stringValue: StringValue,
        binaryValue: BinaryValue && Buffer.from(BinaryValue).toString('base64'),
        stringListValues: [],
        binaryListValues: [],
      },
    ]),
  );
}
