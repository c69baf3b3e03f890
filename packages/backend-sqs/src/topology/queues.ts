import type { TopologyDriver } from '@melange/backend-kit';
import {
  type Clock,
  type Logger,
  MelangeError,
  type QueueDescription,
  QueueNotFoundError,
  TopologyConflictError,
} from '@melange/core';
import type { Sqs } from '../client/sqs.ts';
import { codeOf, isMissingQueue, isTransient } from '../errors.ts';
import type { SqsQueueOptions } from '../options.ts';
import { Addresses } from './addresses.ts';
import { bind, type QueueDetails } from './bindings.ts';
import { assertAlike } from './names.ts';
import { nameOf, topicsAllowedBy } from './queue-policy.ts';
import {
  assertSame,
  attributesOf,
  deadLetterQueueOf,
  lowReceiveCount,
  raisedRedrivePolicy,
  warnOfRetention,
} from './queue-settings.ts';
import type { Topics } from './topics.ts';

/** SQS takes the name of a deleted queue again after a minute. */
const nameIsFreeWithinMs = 65_000;
/** What queues are declared with. */
export interface QueuesSettings {
  readonly sqs: Sqs;
  readonly topics: Topics;
  /** Whether anything may be made or changed. */
  readonly mayChange: boolean;
  readonly logger: Logger;
  readonly clock: Clock;
}

/** Makes, finds and describes queues, and binds them to topics. */
export class Queues implements TopologyDriver<SqsQueueOptions> {
  readonly maxDeclareMs: number = nameIsFreeWithinMs + 10_000;
  readonly #settings: QueuesSettings;
  readonly #urls: Addresses;
  /** Declarations of one queue follow each other: each reads the policy that the one before it wrote. */
  readonly #declaring = new Map<string, Promise<void>>();

  constructor(settings: QueuesSettings) {
    this.#settings = settings;
    this.#urls = new Addresses((name) => settings.sqs.urlOf(name).catch(missing(name)));
  }

  async declareTopic(name: string): Promise<void> {
    const { mayChange, topics } = this.#settings;
    await (mayChange ? topics.declare(name) : topics.arnOf(name));
  }

  async declareQueue(name: string, options: SqsQueueOptions): Promise<void> {
    assertAlike(name, options);
    const declare = () =>
      this.#settings.mayChange ? this.#declare(name, options) : this.#lookUp(name, options);
    const declared = (this.#declaring.get(name) ?? Promise.resolve()).then(declare);
    const settled = declared
      .catch(() => undefined)
      .then(() => {
        if (this.#declaring.get(name) === settled) this.#declaring.delete(name);
      });
    this.#declaring.set(name, settled);
    await declared;
  }

  deleteTopic(name: string): Promise<void> {
    return this.#settings.topics.delete(name);
  }

  /** @throws QueueNotFoundError */
  urlOf(name: string): Promise<string> {
    return this.#urls.of(name);
  }

  /** It turned out to be gone. */
  forget(name: string): void {
    this.#urls.forget(name);
  }

  async findQueue(name: string): Promise<Pick<QueueDescription, 'exists' | 'deadLetterQueue'>> {
    const details = await this.#detailsIfAny(name);
    return {
      exists: details !== undefined,
      deadLetterQueue: details && deadLetterQueueOf(details.attributes),
    };
  }

  async describeQueue(name: string): Promise<QueueDescription> {
    const details = await this.#detailsIfAny(name);
    if (details === undefined) return { exists: false, depth: 0, deadLetterQueue: undefined };
    const { attributes, arn } = details;
    const count = (attribute: string): number => Number(attributes[attribute] ?? 0);
    const topicArns = topicsAllowedBy(attributes.Policy);
    return {
      exists: true,
      depth: count('ApproximateNumberOfMessages') + count('ApproximateNumberOfMessagesDelayed'),
      inFlight: count('ApproximateNumberOfMessagesNotVisible'),
      deadLetterQueue: deadLetterQueueOf(attributes),
      topics: topicArns.map(nameOf).sort(),
      filter: await this.#settings.topics.filterOf(topicArns, arn),
    };
  }

  async deleteQueue(name: string): Promise<void> {
    const { sqs, topics } = this.#settings;
    const details = await this.#detailsIfAny(name);
    if (details === undefined) return;
    this.forget(name);
    // Else a queue made later under this name would go on receiving what nobody bound it to.
    for (const topicArn of topicsAllowedBy(details.attributes.Policy))
      await topics.unsubscribe(topicArn, details.arn);
    try {
      await sqs.delete(details.url);
    } catch (error) {
      if (!isMissingQueue(error)) throw error;
    }
  }

  async #declare(name: string, options: SqsQueueOptions): Promise<void> {
    const { deadLetterQueue } = options;
    const { logger } = this.#settings;
    let details = await this.#detailsIfAny(name);
    if (details !== undefined) assertSame(name, details.attributes, options);
    let deadLetterArn: string | undefined;
    if (deadLetterQueue !== undefined) {
      if ((await this.#detailsIfAny(deadLetterQueue)) === undefined)
        await this.#create(deadLetterQueue, {}, undefined);
      const { arn, attributes } = await this.#detailsOf(deadLetterQueue);
      deadLetterArn = arn;
      warnOfRetention(deadLetterQueue, attributes, {}, logger);
    }
    if (details === undefined) {
      await this.#create(name, options, deadLetterArn);
      details = await this.#detailsOf(name);
      // Somebody else may have made it meanwhile.
      assertSame(name, details.attributes, options);
    }
    warnOfRetention(name, details.attributes, options, logger);
    await this.#raiseReceiveCount(name, details, options);
    const read = () => this.#detailsOf(name);
    await bind({ ...this.#settings, read }, name, details, options);
  }

  async #raiseReceiveCount(name: string, details: QueueDetails, options: SqsQueueOptions): Promise<void> {
    const raised = raisedRedrivePolicy(details.attributes, options);
    if (raised === undefined) return;
    const { sqs, logger } = this.#settings;
    const { present, wanted, policy: RedrivePolicy } = raised;
    try {
      await sqs.setAttributes(details.url, { RedrivePolicy });
    } catch (error) {
      throw isTransient(error) ? error : lowReceiveCount(name, present, wanted, error);
    }
    logger.info('raised maxReceiveCount of a queue, so that retries follow the retry policy', {
      queue: name,
      from: present,
      to: wanted,
    });
  }

  async #lookUp(name: string, options: SqsQueueOptions): Promise<void> {
    const { topics } = this.#settings;
    const { arn, attributes } = await this.#detailsOf(name);
    assertSame(name, attributes, options);
    const raised = raisedRedrivePolicy(attributes, options);
    if (raised !== undefined) throw lowReceiveCount(name, raised.present, raised.wanted);
    for (const topic of options.topics ?? []) {
      if ((await topics.subscriptionOf(await topics.arnOf(topic), arn)) !== undefined) continue;
      throw new TopologyConflictError(
        `Queue "${name}" is not subscribed to topic "${topic}": subscribe it, or set topology to declare.`,
      );
    }
    for (const topic of options.removeTopics ?? []) {
      if ((await topics.subscriptionOf(topics.arnBeside(arn, topic), arn)) === undefined) continue;
      throw new TopologyConflictError(
        `Queue "${name}" is subscribed to topic "${topic}": unsubscribe it, or set topology to declare.`,
      );
    }
  }

  async #create(name: string, options: SqsQueueOptions, deadLetterArn: string | undefined): Promise<void> {
    const { sqs, clock } = this.#settings;
    const attributes = attributesOf(name, options, deadLetterArn);
    const until = clock.monotonicNow() + nameIsFreeWithinMs;
    for (;;) {
      try {
        this.#urls.learn(name, await sqs.create(name, attributes));
        return;
      } catch (error) {
        const code = codeOf(error);
        // Made by somebody else in between: whether it is the same queue is looked at next.
        if (code === 'QueueNameExists' || code === 'QueueAlreadyExists') return;
        if (code !== 'QueueDeletedRecently' || clock.monotonicNow() > until) throw error;
        await new Promise<void>((resolve) => clock.schedule(resolve, 1_000));
      }
    }
  }

  /** Asks SQS, each time. @throws QueueNotFoundError */
  async #detailsOf(name: string): Promise<QueueDetails> {
    const url = await this.urlOf(name);
    try {
      const attributes = await this.#settings.sqs.attributesOf(url);
      const { QueueArn: arn = '' } = attributes;
      this.#settings.topics.learnFrom(arn);
      return { url, arn, attributes };
    } catch (error) {
      if (isMissingQueue(error)) this.forget(name);
      return missing(name)(error);
    }
  }

  async #detailsIfAny(name: string): Promise<QueueDetails | undefined> {
    try {
      return await this.#detailsOf(name);
    } catch (error) {
      if (MelangeError.is(error, 'QUEUE_NOT_FOUND')) return undefined;
      throw error;
    }
  }
}

/** Throws the error, as QueueNotFoundError where it says that there is no such queue. */
function missing(name: string): (error: unknown) => never {
  return (error) => {
    throw isMissingQueue(error) ? new QueueNotFoundError(name, { cause: error }) : error;
  };
}
