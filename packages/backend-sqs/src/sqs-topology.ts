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
  MelangeError,
  type QueueDescription,
  QueueNotFoundError,
  TopologyConflictError,
} from '@melange/core';
import { Addresses } from './addresses.ts';
import { allowTopics, topicsAllowedBy } from './queue-policy.ts';
import type { Retried, SnsTopics } from './sns-topics.ts';
import { codeOf, isMissingQueue, pause } from './sqs-errors.ts';
import type { SqsQueueOptions } from './sqs-options.ts';

const defaultMaxReceiveCount = 100;

/** SQS takes the name of a deleted queue again after a minute. */
const nameIsFreeWithinMs = 65_000;

/** By then somebody who read a policy has written it, too; longer than a request takes. */
const writersSettleMs = 100;

/** What is known of a queue that exists. */
export interface QueueDetails {
  readonly url: string;
  readonly arn: string;
  readonly attributes: Readonly<Partial<Record<string, string>>>;
}

/** Whether SQS and SNS keep the order of what goes through. */
export function isFifo(name: string): boolean {
  return name.endsWith('.fifo');
}

/** Makes, finds and describes queues, and binds them to topics. */
export class SqsTopology {
  readonly #client: SQSClient;
  readonly #topics: SnsTopics;
  readonly #retried: Retried;
  readonly #mayChange: boolean;
  readonly #urls = new Addresses((name) => this.#findUrl(name));
  /** Declarations of one queue follow each other: each reads the policy that the one before it wrote. */
  readonly #declaring = new Map<string, Promise<void>>();

  constructor(client: SQSClient, topics: SnsTopics, retried: Retried, mayChange: boolean) {
    this.#client = client;
    this.#topics = topics;
    this.#retried = retried;
    this.#mayChange = mayChange;
  }

  async declareTopic(name: string): Promise<void> {
    assertName('topic', name, 256);
    if (this.#mayChange) await this.#topics.declare(name);
    else await this.#topics.arnOf(name);
  }

  declareQueue(name: string, options: SqsQueueOptions): Promise<void> {
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
    const count = (attribute: QueueAttributeName): number => Number(details.attributes[attribute] ?? 0);
    return {
      exists: true,
      depth: count('ApproximateNumberOfMessages') + count('ApproximateNumberOfMessagesDelayed'),
      deadLetterQueue: deadLetterQueueOf(details),
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
    const { topics = [], filter, deadLetterQueue } = options;
    assertSameKind(name, options);
    assertName('queue', name, 80);
    if (deadLetterQueue !== undefined) assertName('queue', deadLetterQueue, 80);
    for (const topic of topics) assertName('topic', topic, 256);
    let details = await this.#detailsIfAny(name);
    if (details !== undefined) assertSame(name, details, options);
    let deadLetterArn: string | undefined;
    if (deadLetterQueue !== undefined) {
      if ((await this.#detailsIfAny(deadLetterQueue)) === undefined)
        await this.#create(deadLetterQueue, {}, undefined);
      deadLetterArn = (await this.detailsOf(deadLetterQueue)).arn;
    }
    if (details === undefined) {
      await this.#create(name, options, deadLetterArn);
      details = await this.detailsOf(name);
      // Somebody else may have made it meanwhile.
      assertSame(name, details, options);
    }
    if (topics.length === 0) return;
    const topicArns = await Promise.all(topics.map((topic) => this.#topics.declare(topic)));
    await this.#allow(name, details, topicArns);
    for (const topicArn of topicArns) await this.#topics.subscribe(topicArn, details.arn, filter);
  }

  async #lookUp(name: string, options: SqsQueueOptions): Promise<void> {
    assertSameKind(name, options);
    const details = await this.detailsOf(name);
    assertSame(name, details, options);
    for (const topic of options.topics ?? []) {
      const topicArn = await this.#topics.arnOf(topic);
      if ((await this.#topics.subscriptionOf(topicArn, details.arn)) !== undefined) continue;
      throw new TopologyConflictError(
        `Queue "${name}" is not subscribed to topic "${topic}": subscribe it, or set topology to declare.`,
      );
    }
  }

  async #create(name: string, options: SqsQueueOptions, deadLetterArn: string | undefined): Promise<void> {
    const maxReceiveCount = options.maxReceiveCount ?? defaultMaxReceiveCount;
    const Attributes: Record<string, string> = {
      MaximumMessageSize: '1048576',
      // As long as SQS can, in seconds: after its default of four days what nobody has processed is gone.
      MessageRetentionPeriod: '1209600',
      ...(isFifo(name) && { FifoQueue: 'true' }),
      ...(deadLetterArn !== undefined && {
        RedrivePolicy: JSON.stringify({ deadLetterTargetArn: deadLetterArn, maxReceiveCount }),
      }),
      ...options.attributes,
    };
    const until = Date.now() + nameIsFreeWithinMs;
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
        if (code !== 'QueueDeletedRecently' || Date.now() > until) throw error;
        await pause(1_000);
      }
    }
  }

  /** Lets all the topics send to the queue, those of other declarations and of other processes too. */
  async #allow(name: string, found: QueueDetails, topicArns: readonly string[]): Promise<void> {
    let details = found;
    for (let attempt = 1; ; attempt += 1) {
      const policy = allowTopics(details.attributes.Policy, details.arn, topicArns);
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

/** Name of the dead-letter queue in the redrive policy, which is of the same account and region. */
export function deadLetterQueueOf({ attributes }: QueueDetails): string | undefined {
  if (attributes.RedrivePolicy === undefined || attributes.RedrivePolicy === '') return undefined;
  const { deadLetterTargetArn } = JSON.parse(attributes.RedrivePolicy) as { deadLetterTargetArn?: string };
  return deadLetterTargetArn?.split(':').at(-1);
}

function assertSame(name: string, details: QueueDetails, options: SqsQueueOptions): void {
  const declared = deadLetterQueueOf(details);
  if (declared !== options.deadLetterQueue) {
    throw new TopologyConflictError(
      `Queue "${name}" exists with the dead-letter queue ${declared ?? '(none)'}, not ${options.deadLetterQueue ?? '(none)'}.`,
    );
  }
  for (const [attribute, value] of Object.entries(options.attributes ?? {})) {
    const present = details.attributes[attribute];
    if (present === value) continue;
    throw new TopologyConflictError(
      `Queue "${name}" exists with ${attribute} ${present ?? '(not set)'}, not ${value}.`,
    );
  }
}

/** Emulators take names that AWS does not. */
function assertName(kind: 'queue' | 'topic', name: string, longest: number): void {
  if (name.length <= longest && /^[\w-]+(\.fifo)?$/.test(name)) return;
  const text = `AWS takes no ${kind} named "${name}": use up to ${longest} letters, digits, - and _, with .fifo at the end of what keeps order.`;
  throw new MelangeError('CONFIGURATION', text);
}

function assertSameKind(name: string, { deadLetterQueue, topics = [] }: SqsQueueOptions): void {
  if (deadLetterQueue === name)
    throw new MelangeError('CONFIGURATION', `Queue "${name}" cannot dead-letter to itself.`);
  if (deadLetterQueue !== undefined && isFifo(deadLetterQueue) !== isFifo(name)) {
    const text = `"${deadLetterQueue}" cannot be the dead-letter queue of "${name}": both names end in .fifo, or none.`;
    throw new MelangeError('CONFIGURATION', text);
  }
  const other = topics.find((topic) => isFifo(topic) !== isFifo(name));
  if (other === undefined) return;
  const text = `Topic "${other}" cannot send to queue "${name}": both names end in .fifo, or none.`;
  throw new MelangeError('CONFIGURATION', text);
}
