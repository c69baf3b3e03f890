import { TopicNotFoundError } from '@melange/core';
import type { Sns } from '../client/sns.ts';
import { codeOf, isMissingTopic, isTransient } from '../errors.ts';
import { Addresses } from './addresses.ts';
import { isFifo } from './names.ts';

/** Topics by name, and their subscriptions. */
export class Topics {
  /** Loaded when it is first needed: a process that has no topics needs no SNS. */
  readonly #sns: () => Promise<Sns>;
  readonly #arns = new Addresses((name) => this.#find(name));
  /** What the ARNs of this account and region begin with. */
  #prefix: string | undefined;

  constructor(sns: () => Promise<Sns>) {
    this.#sns = sns;
  }

  async declare(name: string): Promise<string> {
    const arn = await (await this.#sns()).create(name, isFifo(name) ? { FifoTopic: 'true' } : {});
    this.#arns.learn(name, arn);
    this.#prefix = arn.slice(0, -name.length);
    return arn;
  }

  /** @throws TopicNotFoundError, and never makes the topic. */
  arnOf(name: string): Promise<string> {
    return this.#arns.of(name);
  }

  /** It turned out to be gone. */
  forget(name: string): void {
    this.#arns.forget(name);
  }

  /** ARN of a topic in the account and region of a queue, whether it exists or not. */
  arnBeside(queueArn: string, name: string): string {
    this.learnFrom(queueArn);
    return `${this.#prefix}${name}`;
  }

  /** Topics are in the account and region of the queue. */
  learnFrom(queueArn: string): void {
    const [arn, partition, , region, account] = queueArn.split(':');
    this.#prefix ??= `${arn}:${partition}:sns:${region}:${account}:`;
  }

  async delete(name: string): Promise<void> {
    const sns = await this.#sns();
    const arn = await this.arnOf(name).catch(undefinedIfMissing);
    if (arn === undefined) return;
    this.forget(name);
    await sns.deleteTopic(arn);
  }

  /**
   * Makes the subscription of a queue, or lets further manifests through one that exists.
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
    const sns = await this.#sns();
    let subscription: string | undefined;
    try {
      subscription = await sns.subscribe(topicArn, queueArn, {
        RawMessageDelivery: 'true',
        ...(filter !== undefined && { FilterPolicy: policyOf(filter) }),
      });
    } catch (error) {
      if (!/InvalidParameter/.test(codeOf(error)) || !/already exists/i.test((error as Error).message))
        throw error;
      subscription = await sns.subscriptionOf(topicArn, queueArn);
    }
    return subscription === undefined ? [] : this.#filter(sns, subscription, filter, isExact);
  }

  /**
   * Manifests that the subscriptions of a queue let through together, in alphabetical order; `undefined` where one lets
   * everything through, or cannot be asked.
   */
  async filterOf(topicArns: readonly string[], queueArn: string): Promise<readonly string[] | undefined> {
    if (topicArns.length === 0) return undefined;
    const sns = await this.#sns();
    const together = new Set<string>();
    try {
      for (const topicArn of topicArns) {
        const subscription = await this.subscriptionOf(topicArn, queueArn);
        if (subscription === undefined) continue;
        const manifests = manifestsOf(await sns.filterPolicyOf(subscription));
        if (manifests === undefined) return undefined;
        for (const manifest of manifests) together.add(manifest);
      }
    } catch (error) {
      if (isTransient(error)) throw error;
      // To describe a queue wants no rights to its topics.
      return undefined;
    }
    return together.size > 0 ? [...together].sort() : undefined;
  }

  /** The subscription of a queue to a topic, if both exist. */
  async subscriptionOf(topicArn: string, queueArn: string): Promise<string | undefined> {
    return (await this.#sns()).subscriptionOf(topicArn, queueArn).catch(undefinedIfMissing);
  }

  /** Ends the subscription, if there is one. */
  async unsubscribe(topicArn: string, queueArn: string): Promise<void> {
    const subscription = await this.subscriptionOf(topicArn, queueArn);
    if (subscription !== undefined)
      await (await this.#sns()).unsubscribe(subscription).catch(undefinedIfMissing);
  }

  async #find(name: string): Promise<string> {
    const sns = await this.#sns();
    if (this.#prefix === undefined) {
      // Any topic of the account tells how ARNs begin; without any, this one is missing too.
      const any = await sns.anyTopic();
      if (any === undefined) throw new TopicNotFoundError(name);
      this.#prefix = any.slice(0, any.lastIndexOf(':') + 1);
    }
    const arn = `${this.#prefix}${name}`;
    try {
      await sns.assertTopic(arn);
    } catch (error) {
      throw isMissingTopic(error) ? new TopicNotFoundError(name, { cause: error }) : error;
    }
    return arn;
  }

  async #filter(
    sns: Sns,
    subscription: string,
    filter: readonly string[] | undefined,
    isExact: boolean,
  ): Promise<readonly string[] | 'all'> {
    const present = manifestsOf(await sns.filterPolicyOf(subscription));
    const more = present?.filter((manifest) => filter?.includes(manifest) !== true) ?? [];
    const isLacking =
      filter?.some((manifest) => present?.includes(manifest) === false) ?? present !== undefined;
    const isTooWide = filter !== undefined && (present === undefined || more.length > 0);
    if (isLacking || (isExact && isTooWide)) {
      const wanted = isExact || filter === undefined ? filter : [...new Set([...(present ?? []), ...filter])];
      // `{}` is how a policy is taken away.
      await sns.setFilterPolicy(subscription, wanted === undefined ? '{}' : policyOf(wanted));
    }
    if (isExact || !isTooWide) return [];
    return present === undefined ? 'all' : more;
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

function undefinedIfMissing(error: unknown): undefined {
  if (!isMissingTopic(error) && !(error instanceof TopicNotFoundError)) throw error;
}
