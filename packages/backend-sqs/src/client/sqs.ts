import type { Agent as HttpAgent } from 'node:http';
import {
  ChangeMessageVisibilityBatchCommand,
  CreateQueueCommand,
  DeleteMessageBatchCommand,
  DeleteQueueCommand,
  GetQueueAttributesCommand,
  GetQueueUrlCommand,
  ReceiveMessageCommand,
  type ReceiveMessageCommandInput,
  SendMessageBatchCommand,
  type SendMessageBatchRequestEntry,
  SetQueueAttributesCommand,
  SQSClient,
  type Message as SqsMessage,
} from '@aws-sdk/client-sqs';
import type { BatchAnswer } from '@melange/backend-kit';
import type { SqsBackendOptions } from '../options.ts';
import { answerOf } from './batch.ts';
import { RequestTemplates } from './request-templates.ts';
import { type Agents, agentsOf, clientSettings, Signals } from './settings.ts';

export type { SqsMessage };

/** Attributes of a queue, as SQS has them. */
export type QueueAttributes = Readonly<Partial<Record<string, string>>>;

/** A change of the visibility of one message. */
export interface VisibilityChange {
  readonly receiptHandle: string;
  readonly seconds: number;
}

/** Requests to SQS. They reject with the errors of the SDK. */
export class Sqs {
  readonly #options: SqsBackendOptions;
  readonly #requestTimeoutMs: number;
  readonly #signals = new Signals();
  readonly #client: SQSClient;
  /**
   * Receives hold a connection each for up to 20 s, and must not keep acknowledgements waiting for a free one. Made for
   * the first receive: AWS Lambda receives by itself.
   */
  #receiving: { readonly client: SQSClient; readonly agents: Agents } | undefined;

  constructor(options: SqsBackendOptions) {
    this.#options = options;
    this.#requestTimeoutMs = options.requestTimeoutMs ?? 10_000;
    this.#client = this.#clientOf(agentsOf(64), this.#requestTimeoutMs);
  }

  async urlOf(QueueName: string): Promise<string> {
    const { QueueUrl = '' } = await this.#client.send(new GetQueueUrlCommand({ QueueName }));
    return QueueUrl;
  }

  /** Answers the URL. */
  async create(QueueName: string, Attributes: Record<string, string>): Promise<string> {
    const { QueueUrl = '' } = await this.#client.send(new CreateQueueCommand({ QueueName, Attributes }));
    return QueueUrl;
  }

  async attributesOf(QueueUrl: string): Promise<QueueAttributes> {
    const command = new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['All'] });
    return (await this.#client.send(command)).Attributes ?? {};
  }

  async setAttributes(QueueUrl: string, Attributes: Record<string, string>): Promise<void> {
    await this.#client.send(new SetQueueAttributesCommand({ QueueUrl, Attributes }));
  }

  async delete(QueueUrl: string): Promise<void> {
    await this.#client.send(new DeleteQueueCommand({ QueueUrl }));
  }

  async send(
    QueueUrl: string,
    Entries: SendMessageBatchRequestEntry[],
    signal: AbortSignal,
  ): Promise<BatchAnswer> {
    const command = this.#signals.on(new SendMessageBatchCommand({ QueueUrl, Entries }), signal);
    return answerOf(Entries.length, (await this.#client.send(command)).Failed);
  }

  async deleteMessages(QueueUrl: string, receiptHandles: readonly string[]): Promise<BatchAnswer> {
    const Entries = receiptHandles.map((ReceiptHandle, place) => ({ Id: String(place), ReceiptHandle }));
    const command = new DeleteMessageBatchCommand({ QueueUrl, Entries });
    return answerOf(Entries.length, (await this.#client.send(command)).Failed);
  }

  async changeVisibilities(QueueUrl: string, changes: readonly VisibilityChange[]): Promise<BatchAnswer> {
    const Entries = changes.map(({ receiptHandle: ReceiptHandle, seconds: VisibilityTimeout }, place) => ({
      Id: String(place),
      ReceiptHandle,
      VisibilityTimeout,
    }));
    const command = new ChangeMessageVisibilityBatchCommand({ QueueUrl, Entries });
    return answerOf(Entries.length, (await this.#client.send(command)).Failed);
  }

  /** Waits for a first message for `WaitTimeSeconds`. */
  async receive(
    input: ReceiveMessageCommandInput & { readonly WaitTimeSeconds: number },
  ): Promise<readonly SqsMessage[]> {
    const controller = new AbortController();
    const timeoutMs = input.WaitTimeSeconds * 1_000 + this.#requestTimeoutMs;
    // It may outlive the backend, and must not keep the process for that.
    const timer = setTimeout(() => controller.abort(), timeoutMs).unref();
    const command = this.#signals.on(new ReceiveMessageCommand(input), controller.signal);
    try {
      return (await this.#receivingClient().send(command)).Messages ?? [];
    } finally {
      clearTimeout(timer);
    }
  }

  /** Receives that are under way do not keep the process any more. */
  unrefReceives(): void {
    if (this.#receiving === undefined) return;
    for (const agent of Object.values(this.#receiving.agents) as HttpAgent[])
      for (const sockets of Object.values(agent.sockets)) for (const socket of sockets ?? []) socket.unref();
  }

  close(): void {
    this.#client.destroy();
    this.#receiving?.client.destroy();
  }

  #receivingClient(): SQSClient {
    if (this.#receiving === undefined) {
      const agents = agentsOf(Number.POSITIVE_INFINITY);
      this.#receiving = { agents, client: this.#clientOf(agents, 0) };
    }
    return this.#receiving.client;
  }

  #clientOf(agents: Agents, requestTimeoutMs: number): SQSClient {
    const client = new SQSClient(clientSettings(this.#options, agents, requestTimeoutMs));
    client.middlewareStack.use(new RequestTemplates(client.config, (input) => this.#signals.of(input)));
    this.#signals.applyTo(client);
    return client;
  }
}
