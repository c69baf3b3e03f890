import { checkSubscribeOptions, Troubles } from '@melange/backend-kit';
import {
  type Delivery,
  type Health,
  type Logger,
  MelangeError,
  type Message,
  type PublishOptions,
  type QueueDescription,
  type ReplayableBackend,
  type ReplayPosition,
  type SubscribeOptions,
  type Subscription,
} from '@melange/core';

import { checkWholeNumber, unfailingLogger } from '@melange/core/adapter';
import { kafkaCapabilities } from './capabilities.ts';
import { addressText } from './client/address.ts';
import { KafkaClient } from './client/index.ts';
import { copiesOf } from './consume/copies.ts';
import { QueueConsumer } from './consume/queue-consumer.ts';
import { KafkaSubscription } from './consume/subscription.ts';
import {
  type KafkaBackendOptions,
  type KafkaQueueOptions,
  type KafkaSettings,
  settingsOf,
} from './options.ts';
import { PublishCalls } from './publish/calls.ts';
import { KafkaPublisher } from './publish/publisher.ts';
import { checkQueueName, checkTopicName } from './topology/names.ts';
import { commitsToRewind } from './topology/rewind.ts';
import { KafkaTopology } from './topology/topology.ts';

/** Apache Kafka 3.9 and 4.x, through kafkajs. Connects on first use. */
export class KafkaBackend implements ReplayableBackend<typeof kafkaCapabilities> {
  readonly name = 'kafka';
  readonly capabilities: typeof kafkaCapabilities = kafkaCapabilities;
  readonly #settings: KafkaSettings;
  readonly #logger: Logger;
  readonly #client: KafkaClient;
  readonly #troubles: Troubles;
  readonly #publisher: KafkaPublisher;
  readonly #topology: KafkaTopology;
  readonly #consumers = new Map<string, QueueConsumer>();
  readonly #calls: PublishCalls;
  /** Why the last question to a broker was not answered. */
  #failedBecause: string | undefined;
  #closing: Promise<void> | undefined;

  /** @throws MelangeError `CONFIGURATION` when an option makes no sense. */
  constructor(options: KafkaBackendOptions) {
    this.#settings = settingsOf(options);
    this.#logger = unfailingLogger(options.logger);
    this.#client = new KafkaClient(options, this.#settings, this.#logger);
    this.#troubles = new Troubles({ logger: this.#logger });
    this.#publisher = new KafkaPublisher(this.#client, this.#troubles);
    const publish = async (topic: string, records: readonly Parameters<KafkaPublisher['publish']>[1][]) => {
      const { publishTimeoutMs } = this.#settings;
      await Promise.all(records.map((record) => this.#publisher.publish(topic, record, publishTimeoutMs, 0)));
    };
    this.#topology = new KafkaTopology(this.#client, options, this.#settings, publish, this.#logger);
    this.#calls = new PublishCalls(this.#publisher, {
      isKnown: (name) => this.#topology.isKnown(name),
      exists: (name) => this.#asking(this.#topology.exists(name)),
      forget: (name) => this.#topology.forget(name),
    });
  }

  /** The brokers of the option `brokers`, not all of the cluster. */
  get address(): string {
    return this.#settings.brokers.map(addressText).join(', ');
  }

  async declareTopic(name: string): Promise<void> {
    this.#assertOpen();
    checkTopicName(name);
    await this.#asking(this.#topology.declareTopic(name));
  }

  async declareQueue(name: string, options: KafkaQueueOptions = {}): Promise<void> {
    this.#assertOpen();
    checkQueueName(name);
    if (options.deadLetterQueue !== undefined) checkQueueName(options.deadLetterQueue);
    for (const topic of [...(options.topics ?? []), ...(options.removeTopics ?? [])]) checkTopicName(topic);
    if (options.partitions !== undefined) checkWholeNumber('partitions', options.partitions, 1);
    const isChanged = await this.#asking(this.#topology.declareQueue(name, options));
    const consumer = this.#consumers.get(name);
    if (isChanged || consumer?.isGone === true) await consumer?.reread();
  }

  publishToQueue(
    queue: string,
    messages: readonly Message[],
    options: PublishOptions & { readonly delayMs?: never } = {},
  ): Promise<void> {
    return this.#publish(queue, 'queue', messages, options);
  }

  publishToTopic(topic: string, messages: readonly Message[], options: PublishOptions = {}): Promise<void> {
    return this.#publish(topic, 'topic', messages, options);
  }

  async subscribe(
    queue: string,
    options: SubscribeOptions,
    receive: (delivery: Delivery) => void,
  ): Promise<Subscription> {
    this.#assertOpen();
    checkSubscribeOptions(options);
    const consumer = await this.#asking(this.#consumerOf(queue));
    const subscription = new KafkaSubscription(
      options,
      receive,
      (changed) => consumer.onChange(changed),
      async () => consumer.closing,
    );
    consumer.add(subscription);
    return subscription;
  }

  async describeQueue(name: string): Promise<QueueDescription> {
    this.#assertOpen();
    const consumer = this.#consumers.get(name);
    await consumer?.flush();
    const description = await this.#asking(this.#topology.describeQueue(name));
    return { ...description, depth: Math.max(0, description.depth - (consumer?.unsettled ?? 0)) };
  }

  async rewindQueue(queue: string, position: ReplayPosition): Promise<void> {
    this.#assertOpen();
    const consumer = this.#consumers.get(queue);
    await consumer?.closing;
    const isFree = consumer === undefined || consumer.closing !== undefined;
    if (isFree && (await this.#asking(this.#rewind(queue, position)))) return;
    throw new MelangeError(
      'QUEUE_IN_USE',
      `Queue "${queue}" is subscribed to: close its subscriptions, wait a session timeout for processes that died, and rewind it then.`,
    );
  }

  async deleteQueue(name: string): Promise<void> {
    this.#assertOpen();
    const deletion = () => this.#asking(this.#topology.deleteQueue(name));
    const consumer = this.#consumers.get(name);
    await (consumer === undefined || consumer.closing !== undefined
      ? deletion()
      : consumer.whileGone(deletion));
  }

  async deleteTopic(name: string): Promise<void> {
    this.#assertOpen();
    await this.#asking(this.#topology.deleteTopic(name));
    await Promise.all([...this.#consumers.values()].map((consumer) => consumer.reread()));
  }

  async health(): Promise<Health> {
    if (this.#closing !== undefined) return { status: 'unhealthy', detail: 'closed' };
    const trouble = this.#troubles.health();
    const healths = [...this.#consumers.values()].map((consumer) => consumer.health());
    const worst =
      healths.find(({ status }) => status === 'unhealthy') ??
      healths.find(({ status }) => status === 'degraded');
    if (worst?.status === 'unhealthy') return worst;
    if (trouble.status !== 'healthy') return trouble;
    if (worst !== undefined) return worst;
    if (this.#failedBecause !== undefined) return { status: 'degraded', detail: this.#failedBecause };
    return { status: 'healthy' };
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    await Promise.all([...this.#consumers.values()].map((consumer) => consumer.abandon()));
    await this.#calls.settled();
    await this.#publisher.close();
    await this.#client.close();
  }

  /** The consumer of a queue, shared by its subscriptions: within a process they compete without a rebalance. */
  async #consumerOf(queue: string): Promise<QueueConsumer> {
    const layout = await this.#topology.layoutOf(queue);
    for (;;) {
      const existing = this.#consumers.get(queue);
      if (existing === undefined) break;
      if (existing.closing === undefined) return existing;
      await existing.closing;
      if (this.#consumers.get(queue) === existing) this.#consumers.delete(queue);
    }
    this.#assertOpen();
    const consumer = new QueueConsumer(queue, layout, {
      client: this.#client,
      topology: this.#topology,
      settings: this.#settings,
      copies: (current) => copiesOf(queue, current, this.#publisher, this.#settings.publishTimeoutMs),
      logger: this.#logger,
      onClosed: (closed) => {
        if (this.#consumers.get(queue) === closed) this.#consumers.delete(queue);
      },
    });
    this.#consumers.set(queue, consumer);
    consumer.start();
    return consumer;
  }

  #publish(
    destination: string,
    kind: 'queue' | 'topic',
    messages: readonly Message[],
    { deadlineMs = this.#settings.publishTimeoutMs }: PublishOptions,
  ): Promise<void> {
    if (this.#closing !== undefined) return Promise.reject(closed());
    return this.#calls.publish(destination, kind, messages, deadlineMs);
  }

  async #rewind(queue: string, position: ReplayPosition): Promise<boolean> {
    const layout = await this.#topology.layoutOf(queue);
    const commits = await commitsToRewind(this.#client, queue, layout, position);
    return commits.length === 0 || this.#client.commitFor(queue, commits);
  }

  /** Remembers for `health()` whether the brokers answer. */
  async #asking<Result>(work: Promise<Result>): Promise<Result> {
    try {
      const result = await work;
      this.#failedBecause = undefined;
      return result;
    } catch (error) {
      if (MelangeError.is(error, 'BROKER_UNAVAILABLE')) this.#failedBecause = error.message;
      throw error;
    }
  }

  #assertOpen(): void {
    if (this.#closing !== undefined) throw closed();
  }
}

function closed(): MelangeError {
  return new MelangeError('CLOSED', 'The Kafka backend is closed.');
}
