import {
  CreateTopicCommand,
  DeleteTopicCommand,
  GetSubscriptionAttributesCommand,
  GetTopicAttributesCommand,
  ListSubscriptionsByTopicCommand,
  ListTopicsCommand,
  SetSubscriptionAttributesCommand,
  type SNSClient,
  SubscribeCommand,
  UnsubscribeCommand,
} from '@aws-sdk/client-sns';
import { MelangeError, TopicNotFoundError } from '@melange/core';
import { codeOf, isMissingTopic } from '../errors.ts';
import { Addresses } from './addresses.ts';
import { assertTopicName } from './names.ts';

/** Runs a request again while it fails for a moment; what it rejects with is a Melange error, or says what is missing. */
export type Retried = <Output>(request: () => Promise<Output>) => Promise<Output>;

/** Topics by name, and their subscriptions. */
export class SnsTopics {
  readonly #client: SNSClient;
  readonly #retried: Retried;
  readonly #arns = new Addresses((name) => this.#find(name));
  /** What the ARNs of this account and region begin with. */
  #prefix: string | undefined;

  constructor(client: SNSClient, retried: Retried) {
    this.#client = client;
    this.#retried = retried;
  }

  async declare(name: string): Promise<string> {
    const Attributes = name.endsWith('.fifo') ? { FifoTopic: 'true' } : undefined;
    const { TopicArn = '' } = await this.#retried(() =>
      this.#client.send(new CreateTopicCommand({ Name: name, ...(Attributes && { Attributes }) })),
    );
    this.#arns.learn(name, TopicArn);
    this.#prefix = TopicArn.slice(0, -name.length);
    return TopicArn;
  }

  /** @throws TopicNotFoundError, and never makes the topic. */
  arnOf(name: string): Promise<string> {
    return this.#arns.of(name);
  }

  /** The same where it is known without asking. */
  knownArnOf(name: string): string | undefined {
    return this.#arns.known(name);
  }

  /** It turned out to be gone. */
  forget(name: string): void {
    this.#arns.forget(name);
  }

  /** Topics are in the account and region of the queue. */
  learnFrom(queueArn: string): void {
    const [arn, partition, , region, account] = queueArn.split(':');
    this.#prefix ??= `${arn}:${partition}:sns:${region}:${account}:`;
  }

  async delete(name: string): Promise<void> {
    let topicArn: string;
    try {
      topicArn = await this.arnOf(name);
    } catch (error) {
      if (MelangeError.is(error, 'TOPIC_NOT_FOUND')) return;
      throw error;
    }
    this.forget(name);
    await this.#retried(() => this.#client.send(new DeleteTopicCommand({ TopicArn: topicArn })));
  }

  /** ARN of a topic in the account and region of a queue, whether it exists or not. */
  arnBeside(queueArn: string, name: string): string {
    this.learnFrom(queueArn);
    return `${this.#prefix}${name}`;
  }

  /**
   * Makes the subscription, or lets further manifests through that exists.
   *
   * @param isExact whether it is to let nothing else through.
   * @returns the manifests that it lets through besides these; `all` when it lets every one through.
   */
  async subscribe(
    topicArn: string,
    queueArn: string,
    filter: readonly string[] | undefined,
    isExact: boolean,
  ): Promise<readonly string[] | 'all'> {
    const Attributes = {
      RawMessageDelivery: 'true',
      ...(filter !== undefined && { FilterPolicy: policyOf(filter) }),
    };
    let subscription: string | undefined;
    try {
      const request = { TopicArn: topicArn, Protocol: 'sqs', Endpoint: queueArn, Attributes };
      const { SubscriptionArn } = await this.#retried(() =>
        this.#client.send(new SubscribeCommand({ ...request, ReturnSubscriptionArn: true })),
      );
      subscription = SubscriptionArn;
    } catch (error) {
      const cause = (error as Error).cause ?? error;
      if (!/InvalidParameter/.test(codeOf(cause)) || !/already exists/i.test((cause as Error).message))
        throw error;
      subscription = await this.subscriptionOf(topicArn, queueArn);
    }
    return subscription === undefined ? [] : this.#filter(subscription, filter, isExact);
  }

  /**
   * Manifests that the subscriptions of a queue let through together, in alphabetical order; `undefined` where one lets
   * everything through, or cannot be asked.
   */
  async filterOf(topicArns: readonly string[], queueArn: string): Promise<readonly string[] | undefined> {
    const together = new Set<string>();
    try {
      for (const topicArn of topicArns) {
        const SubscriptionArn = await this.subscriptionIfAny(topicArn, queueArn);
        if (SubscriptionArn === undefined) continue;
        const manifests = await this.#manifestsOf(SubscriptionArn);
        if (manifests === undefined) return undefined;
        for (const manifest of manifests) together.add(manifest);
      }
    } catch (error) {
      // To describe a queue wants no rights to its topics.
      if (MelangeError.is(error)) return undefined;
      throw error;
    }
    return together.size > 0 ? [...together].sort() : undefined;
  }

  /** As `subscriptionOf`, also of a topic that does not exist. */
  async subscriptionIfAny(topicArn: string, queueArn: string): Promise<string | undefined> {
    try {
      return await this.subscriptionOf(topicArn, queueArn);
    } catch (error) {
      if (isMissingTopic(error)) return undefined;
      throw error;
    }
  }

  /** The subscription of a queue to a topic, if there is one. */
  async subscriptionOf(topicArn: string, queueArn: string): Promise<string | undefined> {
    let NextToken: string | undefined;
    do {
      const page = { TopicArn: topicArn, ...(NextToken !== undefined && { NextToken }) };
      const answer = await this.#retried(() => this.#client.send(new ListSubscriptionsByTopicCommand(page)));
      const found = answer.Subscriptions?.find(({ Endpoint }) => Endpoint === queueArn);
      if (found !== undefined) return found.SubscriptionArn;
      NextToken = answer.NextToken;
    } while (NextToken !== undefined && NextToken !== '');
    return undefined;
  }

  /** Ends the subscription, if topic and subscription exist. */
  async unsubscribe(topicArn: string, queueArn: string): Promise<void> {
    try {
      const SubscriptionArn = await this.subscriptionOf(topicArn, queueArn);
      if (SubscriptionArn === undefined) return;
      await this.#retried(() => this.#client.send(new UnsubscribeCommand({ SubscriptionArn })));
    } catch (error) {
      if (!isMissingTopic(error)) throw error;
    }
  }

  async #find(name: string): Promise<string> {
    assertTopicName(name);
    if (this.#prefix === undefined) {
      // Any topic of the account tells how ARNs begin; without any, this one is missing too.
      const { Topics } = await this.#retried(() => this.#client.send(new ListTopicsCommand({})));
      const arn = Topics?.[0]?.TopicArn;
      if (arn === undefined) throw new TopicNotFoundError(name);
      this.#prefix = arn.slice(0, arn.lastIndexOf(':') + 1);
    }
    const TopicArn = `${this.#prefix}${name}`;
    try {
      await this.#retried(() => this.#client.send(new GetTopicAttributesCommand({ TopicArn })));
    } catch (error) {
      if (isMissingTopic(error)) throw new TopicNotFoundError(name, { cause: error });
      throw error;
    }
    return TopicArn;
  }

  async #filter(
    SubscriptionArn: string,
    filter: readonly string[] | undefined,
    isExact: boolean,
  ): Promise<readonly string[] | 'all'> {
    const present = await this.#manifestsOf(SubscriptionArn);
    const more = present?.filter((manifest) => filter?.includes(manifest) !== true) ?? [];
    const isLacking =
      filter?.some((manifest) => present?.includes(manifest) === false) ?? present !== undefined;
    const isTooWide = present === undefined ? filter !== undefined : filter !== undefined && more.length > 0;
    if (isLacking || (isExact && isTooWide)) {
      const wanted = isExact || filter === undefined ? filter : [...new Set([...(present ?? []), ...filter])];
      // `{}` is how a policy is taken away.
      const AttributeValue = wanted === undefined ? '{}' : policyOf(wanted);
      const request = { SubscriptionArn, AttributeName: 'FilterPolicy', AttributeValue };
      await this.#retried(() => this.#client.send(new SetSubscriptionAttributesCommand(request)));
    }
    if (isExact || !isTooWide) return [];
    return present === undefined ? 'all' : more;
  }

  async #manifestsOf(SubscriptionArn: string): Promise<readonly string[] | undefined> {
    const { Attributes } = await this.#retried(() =>
      this.#client.send(new GetSubscriptionAttributesCommand({ SubscriptionArn })),
    );
    return manifestsOf(Attributes?.FilterPolicy);
  }
}

function policyOf(manifests: readonly string[]): string {
  return JSON.stringify({ manifest: manifests });
}

/** Manifests that a policy lets through; `undefined` where it lets everything through, or is not ours to judge. */
function manifestsOf(policy: string | undefined): readonly string[] | undefined {
  if (policy === undefined || policy === '') return undefined;
  const { manifest } = JSON.parse(policy) as { manifest?: unknown };
  return Array.isArray(manifest)
    ? manifest.filter((one): one is string => typeof one === 'string')
    : undefined;
}
