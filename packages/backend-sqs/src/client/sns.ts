import {
  CreateTopicCommand,
  DeleteTopicCommand,
  GetSubscriptionAttributesCommand,
  GetTopicAttributesCommand,
  ListSubscriptionsByTopicCommand,
  ListTopicsCommand,
  PublishBatchCommand,
  type PublishBatchRequestEntry,
  SetSubscriptionAttributesCommand,
  SNSClient,
  SubscribeCommand,
  UnsubscribeCommand,
} from '@aws-sdk/client-sns';
import type { SQSClient } from '@aws-sdk/client-sqs';
import type { BatchAnswer } from '@melange/backend-kit';
import type { SqsBackendOptions } from '../options.ts';
import { answerOf } from './batch.ts';
import { agentsOf, clientSettings, Signals } from './settings.ts';

/** Requests to SNS. They reject with the errors of the SDK. */
export class Sns {
  readonly #client: SNSClient;
  readonly #signals = new Signals();

  constructor(options: SqsBackendOptions) {
    this.#client = new SNSClient(clientSettings(options, agentsOf(64), options.requestTimeoutMs ?? 10_000));
    // A client of another service, and alike in all that matters here.
    this.#signals.applyTo(this.#client as unknown as SQSClient);
  }

  /** Makes a topic, if there is none, and answers its ARN. */
  async create(Name: string, Attributes: Record<string, string>): Promise<string> {
    const { TopicArn = '' } = await this.#client.send(new CreateTopicCommand({ Name, Attributes }));
    return TopicArn;
  }

  /** ARN of one of the topics of the account, if there is one. */
  async anyTopic(): Promise<string | undefined> {
    return (await this.#client.send(new ListTopicsCommand({}))).Topics?.[0]?.TopicArn;
  }

  /** Rejects where there is no such topic. */
  async assertTopic(TopicArn: string): Promise<void> {
    await this.#client.send(new GetTopicAttributesCommand({ TopicArn }));
  }

  async deleteTopic(TopicArn: string): Promise<void> {
    await this.#client.send(new DeleteTopicCommand({ TopicArn }));
  }

  /** Answers the ARN of the subscription. */
  async subscribe(
    TopicArn: string,
    queueArn: string,
    Attributes: Record<string, string>,
  ): Promise<string | undefined> {
    const request = {
      TopicArn,
      Protocol: 'sqs',
      Endpoint: queueArn,
      ReturnSubscriptionArn: true,
      Attributes,
    };
    return (await this.#client.send(new SubscribeCommand(request))).SubscriptionArn;
  }

  async unsubscribe(SubscriptionArn: string): Promise<void> {
    await this.#client.send(new UnsubscribeCommand({ SubscriptionArn }));
  }

  /** ARN of the subscription of a queue to a topic, if there is one. */
  async subscriptionOf(TopicArn: string, queueArn: string): Promise<string | undefined> {
    let NextToken: string | undefined;
    do {
      const page = { TopicArn, ...(NextToken !== undefined && { NextToken }) };
      const answer = await this.#client.send(new ListSubscriptionsByTopicCommand(page));
      const found = answer.Subscriptions?.find(({ Endpoint }) => Endpoint === queueArn);
      if (found !== undefined) return found.SubscriptionArn;
      NextToken = answer.NextToken;
    } while (NextToken !== undefined && NextToken !== '');
    return undefined;
  }

  async filterPolicyOf(SubscriptionArn: string): Promise<string | undefined> {
    const command = new GetSubscriptionAttributesCommand({ SubscriptionArn });
    return (await this.#client.send(command)).Attributes?.FilterPolicy;
  }

  async setFilterPolicy(SubscriptionArn: string, AttributeValue: string): Promise<void> {
    const request = { SubscriptionArn, AttributeName: 'FilterPolicy', AttributeValue };
    await this.#client.send(new SetSubscriptionAttributesCommand(request));
  }

  async publish(
    TopicArn: string,
    PublishBatchRequestEntries: PublishBatchRequestEntry[],
    signal: AbortSignal,
  ): Promise<BatchAnswer> {
    const command = new PublishBatchCommand({ TopicArn, PublishBatchRequestEntries });
    const { Failed } = await this.#client.send(this.#signals.on(command, signal));
    return answerOf(PublishBatchRequestEntries.length, Failed);
  }

  close(): void {
    this.#client.destroy();
  }
}
