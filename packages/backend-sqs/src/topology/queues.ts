import {
  CreateQueueCommand,
  DeleteQueueCommand,
  GetQueueAttributesCommand,
  GetQueueUrlCommand,
  type QueueAttributeName,
  SetQueueAttributesCommand,
  type SQSClient,
} from '@aws-sdk/client-sqs';
import {
  type Logger,
  MelangeError,
  type QueueDescription,
  QueueNotFoundError,
  TopologyConflictError,
} from '@melange/core';
import { codeOf, isMissingQueue, pause } from '../errors.ts';
import type { SqsQueueOptions } from '../options.ts';
import { Addresses } from './addresses.ts';
import { assertNames, assertQueueName, assertTopicName } from './names.ts';
import { changedPolicy, topicsAllowedBy } from './queue-policy.ts';
import {
  assertSame,
  attributesOf,
  deadLetterQueueOf,
  lowReceiveCount,
  type QueueAttributes,
  raisedRedrivePolicy,
  warnOfRetention,
} from './queue-settings.ts';
import type { Retried, SnsTopics } from './topics.ts';

/** SQS takes the name of a deleted queue again after a minute. */
const nameIsFreeWithinMs = 65_000;

/** By then somebody who read a policy has written it, too; longer than a request takes. */
const writersSettleMs = 100;

/** What is known of a queue that exists. */
export interface QueueDetails {
  readonly url: string;
  readonly arn: string;
  readonly attributes: QueueAttributes;
}

/** Makes, finds and describes queues, and binds them to topics. */
export class SqsTopology {
  readonly #client: SQSClient;
  readonly #topics: SnsTopics;
  readonly #retried: Retried;
  readonly #mayChange: boolean;
  readonly #logger: Logger;
  readonly #urls = new Addresses((name) => this.#findUrl(name));
  /** Declarations of one queue follow each other: each reads the policy that the one before it wrote. */
  readonly #declaring = new Map<string, Promise<void>>();

  constructor(client: SQSClient, topics: SnsTopics, retried: Retried, mayChange: boolean, logger: Logger) {
    this.#logger = logger;
    this.#client = client;
    this.#topics = topics;
    this.#retried = retried;
    this.#mayChange = mayChange;
  }

  async declareTopic(name: string): Promise<void> {
    assertTopicName(name);
    if (this.#mayChange) await this.#topics.declare(name);
    else await this.#topics.arnOf(name);
  }

  declareQueue(name: string, options: SqsQueueOptions): Promise<void> {
    assertNames(name, options);
    const before = this.#declaring.get(name) ?? Promise.resolve();
    const declared = before.then(() =>
      this.#mayChange ? this.#declare(name, options) : this.#lookUp(name, options),
    );
    const settled = declared
      .catch(() => undefined)
      .then(() => {
        if (this.#declaring.get(name) === settled) this.#declaring.delete(name);
      });
    this.#declaring.set(name, settled);
    return declared;
  }

  /** @throws QueueNotFoundError */
  urlOf(name: string): Promise<string> {
    return this.#urls.of(name);
  }

  /** The same where it is known without asking. */
  knownUrlOf(name: string): string | undefined {
    return this.#urls.known(name);
  }

  /** It turned out to be gone. */
  forget(name: string): void {
    this.#urls.forget(name);
  }

  /**
   * Asks SQS, each time.
   *
   * @throws QueueNotFoundError
   */
  async detailsOf(name: string): Promise<QueueDetails> {
    const url = await this.urlOf(name);
    try {
      const { Attributes = {} } = await this.#retried(() =>
        this.#client.send(new GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: ['All'] })),
      );
      const arn = Attributes.QueueArn ?? '';
      this.#topics.learnFrom(arn);
      return { url, arn, attributes: Attributes };
    } catch (error) {
      if (!isMissingQueue(error)) throw error;
      this.forget(name);
      throw new QueueNotFoundError(name, { cause: error });
    }
  }

  async describeQueue(name: string): Promise<QueueDescription> {
    const details = await this.#detailsIfAny(name);
    if (details === undefined) return { exists: false, depth: 0, deadLetterQueue: undefined };
    const { attributes, arn } = details;
    const count = (attribute: QueueAttributeName): number => Number(attributes[attribute] ?? 0);
    const topicArns = topicsAllowedBy(attributes.Policy);
    return {
      exists: true,
      depth: count('ApproximateNumberOfMessages') + count('ApproximateNumberOfMessagesDelayed'),
      inFlight: count('ApproximateNumberOfMessagesNotVisible'),
      deadLetterQueue: deadLetterQueueOf(attributes),
      topics: topicArns.map((topicArn) => topicArn.split(':').at(-1) ?? topicArn).sort(),
      filter: await this.#topics.filterOf(topicArns, arn),
    };
  }

  async deleteQueue(name: string): Promise<void> {
    const details = await this.#detailsIfAny(name);
    if (details === undefined) return;
    this.forget(name);
    // Else a queue made later under this name would go on receiving what nobody bound it to.
    for (const topicArn of topicsAllowedBy(details.attributes.Policy))
      await this.#topics.unsubscribe(topicArn, details.arn);
    try {
      await this.#retried(() => this.#client.send(new DeleteQueueCommand({ QueueUrl: details.url })));
    } catch (error) {
      if (!isMissingQueue(error)) throw error;
    }
  }

  async #declare(name: string, options: SqsQueueOptions): Promise<void> {
    const { deadLetterQueue } = options;
    let details = await this.#detailsIfAny(name);
    if (details !== undefined) assertSame(name, details.attributes, options);
    let deadLetterArn: string | undefined;
    if (deadLetterQueue !== undefined) {
      if ((await this.#detailsIfAny(deadLetterQueue)) === undefined)
        await this.#create(deadLetterQueue, {}, undefined);
      const { arn, attributes } = await this.detailsOf(deadLetterQueue);
      deadLetterArn = arn;
      warnOfRetention(deadLetterQueue, attributes, {}, this.#logger);
    }
    if (details === undefined) {
      await this.#create(name, options, deadLetterArn);
      details = await this.detailsOf(name);
      // Somebody else may have made it meanwhile.
      assertSame(name, details.attributes, options);
    }
    warnOfRetention(name, details.attributes, options, this.#logger);
    await this.#raiseReceiveCount(name, details, options);
    await this.#bind(name, details, options);
  }

  async #raiseReceiveCount(name: string, details: QueueDetails, options: SqsQueueOptions): Promise<void> {
    const raised = raisedRedrivePolicy(details.attributes, options);
    if (raised === undefined) return;
    const { present, wanted, policy: RedrivePolicy } = raised;
    const request = { QueueUrl: details.url, Attributes: { RedrivePolicy } };
    try {
      await this.#retried(() => this.#client.send(new SetQueueAttributesCommand(request)));
    } catch (error) {
      if (MelangeError.is(error, 'BROKER_UNAVAILABLE')) throw error;
      throw lowReceiveCount(name, present, wanted, error);
    }
    this.#logger.info('raised maxReceiveCount of a queue, so that retries follow the retry policy', {
      queue: name,
      from: present,
      to: wanted,
    });
  }

  /** Subscribes the queue to its topics, ends what is to be removed, and says what stays that is not declared any more. */
  async #bind(name: string, details: QueueDetails, options: SqsQueueOptions): Promise<void> {
    const { topics = [], removeTopics = [], filter, replaceFilter = false } = options;
    const isTopic = (names: readonly string[], arn: string): boolean =>
      names.includes(arn.split(':').at(-1) ?? '');
    const before = topicsAllowedBy(details.attributes.Policy);
    for (const topic of removeTopics)
      await this.#topics.unsubscribe(this.#topics.arnBeside(details.arn, topic), details.arn);
    const topicArns = await Promise.all(topics.map((topic) => this.#topics.declare(topic)));
    if (topicArns.length > 0 || removeTopics.length > 0)
      await this.#allow(name, details, topicArns, (arn) => isTopic(removeTopics, arn));
    const kept = new Set<string>();
    let keepsAll = false;
    for (const topicArn of topicArns) {
      const more = await this.#topics.subscribe(topicArn, details.arn, filter, replaceFilter);
      if (more === 'all') keepsAll = true;
      else for (const manifest of more) kept.add(manifest);
    }
    // A declaration that is silent about topics asks for none to go.
    const keptTopics = (options.topics === undefined ? [] : before)
      .filter((arn) => !isTopic(topics, arn) && !isTopic(removeTopics, arn))
      .map((arn) => arn.split(':').at(-1) ?? arn);
    if (keptTopics.length === 0 && kept.size === 0 && !keepsAll) return;
    this.#logger.warn('A queue keeps what its declaration does not name any more.', {
      queue: name,
      ...(keptTopics.length > 0 && { topics: keptTopics.sort(), toRemoveTopics: 'removeTopics' }),
      ...((keepsAll || kept.size > 0) && {
        manifests: keepsAll ? 'all' : [...kept].sort(),
        toRemoveManifests: 'replaceFilter',
      }),
    });
  }

  async #lookUp(name: string, options: SqsQueueOptions): Promise<void> {
    const details = await this.detailsOf(name);
    assertSame(name, details.attributes, options);
    const raised = raisedRedrivePolicy(details.attributes, options);
    if (raised !== undefined) throw lowReceiveCount(name, raised.present, raised.wanted);
    for (const topic of options.topics ?? []) {
      const topicArn = await this.#topics.arnOf(topic);
      if ((await this.#topics.subscriptionOf(topicArn, details.arn)) !== undefined) continue;
      throw new TopologyConflictError(
        `Queue "${name}" is not subscribed to topic "${topic}": subscribe it, or set topology to declare.`,
      );
    }
    for (const topic of options.removeTopics ?? []) {
      const topicArn = this.#topics.arnBeside(details.arn, topic);
      if ((await this.#topics.subscriptionIfAny(topicArn, details.arn)) === undefined) continue;
      throw new TopologyConflictError(
        `Queue "${name}" is subscribed to topic "${topic}": unsubscribe it, or set topology to declare.`,
      );
    }
  }

  async #create(name: string, options: SqsQueueOptions, deadLetterArn: string | undefined): Promise<void> {
    const Attributes = attributesOf(name, options, deadLetterArn);
    const until = performance.now() + nameIsFreeWithinMs;
    for (;;) {
      try {
        const { QueueUrl = '' } = await this.#retried(() =>
          this.#client.send(new CreateQueueCommand({ QueueName: name, Attributes })),
        );
        this.#urls.learn(name, QueueUrl);
        return;
      } catch (error) {
        const code = codeOf((error as Error).cause ?? error);
        // Made by somebody else in between: whether it is the same queue is looked at next.
        if (code === 'QueueNameExists' || code === 'QueueAlreadyExists') return;
        if (code !== 'QueueDeletedRecently' || performance.now() > until) throw error;
        await pause(1_000);
      }
    }
  }

  /** Lets the topics send to the queue, those of other declarations and of other processes too, but for those that are removed. */
  async #allow(
    name: string,
    found: QueueDetails,
    topicArns: readonly string[],
    isRemoved: (topicArn: string) => boolean,
  ): Promise<void> {
    let details = found;
    for (let attempt = 1; ; attempt += 1) {
      const policy = changedPolicy(details.attributes.Policy, details.arn, topicArns, isRemoved);
      if (policy === undefined) return;
      if (attempt > 5) {
        throw new TopologyConflictError(
          `The policy of queue "${name}" is changed by somebody else again and again: declare it from one place.`,
        );
      }
      const request = { QueueUrl: details.url, Attributes: { Policy: policy } };
      await this.#retried(() => this.#client.send(new SetQueueAttributesCommand(request)));
      // SQS compares nothing on writing: whoever read the policy before this change may be writing over it just now.
      // Their answer is awaited before it is read again.
      await pause(writersSettleMs * (1 + Math.random() / 2));
      details = await this.detailsOf(name);
    }
  }

  async #findUrl(name: string): Promise<string> {
    assertQueueName(name);
    try {
      const { QueueUrl = '' } = await this.#retried(() =>
        this.#client.send(new GetQueueUrlCommand({ QueueName: name })),
      );
      return QueueUrl;
    } catch (error) {
      if (isMissingQueue(error)) throw new QueueNotFoundError(name, { cause: error });
      throw error;
    }
  }

  async #detailsIfAny(name: string): Promise<QueueDetails | undefined> {
    try {
      return await this.detailsOf(name);
    } catch (error) {
      if (MelangeError.is(error, 'QUEUE_NOT_FOUND')) return undefined;
      throw error;
    }
  }
}
