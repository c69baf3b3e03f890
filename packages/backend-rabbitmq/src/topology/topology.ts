import type { DriverContext, TopologyDriver } from '@melange/backend-kit';
import { type Logger, MelangeError, type QueueDescription, silentLogger } from '@melange/core';
import type { RabbitMqQueueOptions, RabbitMqQueueType } from '../options.ts';
import { bind, describeBindings } from './bindings.ts';
import type { Channels } from './channels.ts';
import { type DelayQueues, unlimitedDeliveries } from './delay-queues.ts';
import { deadLetterExchange, hasRoomForSuffixes, recordQueue } from './names.ts';
import { Inspection } from './queue-inspection.ts';

/** What this process declared a queue as. */
interface Declared {
  readonly type: RabbitMqQueueType;
  readonly deadLetterQueue: string | undefined;
  hasTopics: boolean;
  /** Declarations that were made: a warning about one is not repeated when it is made again after a reconnect. */
  readonly texts: Set<string>;
}

/** What topology needs. */
export interface TopologySettings {
  readonly channels: Channels;
  readonly delayQueues: DelayQueues;
  readonly defaultType: RabbitMqQueueType;
  readonly context: DriverContext;
}

/** Declares, describes and deletes. */
export class Topology implements TopologyDriver<RabbitMqQueueOptions> {
  /** A broker that comes back may be another one, or have lost what it had. */
  readonly isForgottenByConnection = true;
  readonly #settings: TopologySettings;
  readonly #inspection: Inspection;
  readonly #declared = new Map<string, Declared>();
  /** Topics that are known to exist, declared here or elsewhere. */
  readonly #topics = new Set<string>();

  constructor(settings: TopologySettings) {
    this.#settings = settings;
    this.#inspection = new Inspection(settings.channels);
  }

  async declareTopic(name: string): Promise<void> {
    const { channels } = this.#settings;
    await channels.use(
      (channel) => channel.assertExchange(name, 'topic', { durable: true }),
      `topic "${name}"`,
    );
    this.#topics.add(name);
  }

  async declareQueue(name: string, options: RabbitMqQueueOptions): Promise<void> {
    const { channels, defaultType, context } = this.#settings;
    const { deadLetterQueue, topics = [], removeTopics = [], type = defaultType } = options;
    if (deadLetterQueue !== undefined && !(await channels.queueExists(deadLetterQueue)))
      await this.declareQueue(deadLetterQueue, { type });
    await this.#assertQueue(name, type, deadLetterQueue);
    const declared = this.#declared.get(name) ?? {
      type,
      deadLetterQueue,
      hasTopics: false,
      texts: new Set(),
    };
    const text = JSON.stringify([topics, options.filter]);
    const logger: Logger = declared.texts.has(text) ? silentLogger : context.logger;
    if (topics.length > 0 || removeTopics.length > 0) await bind(channels, name, options, logger);
    if (topics.length > 0) declared.hasTopics = true;
    declared.texts.add(text);
    this.#declared.set(name, declared);
    for (const topic of topics) this.#topics.add(topic);
  }

  async findQueue(name: string): Promise<Pick<QueueDescription, 'exists' | 'deadLetterQueue'>> {
    if (!(await this.#settings.channels.queueExists(name))) {
      this.forgetSettings(name);
      return { exists: false, deadLetterQueue: undefined };
    }
    return { exists: true, deadLetterQueue: await this.#deadLetterQueueOf(name) };
  }

  async describeQueue(name: string): Promise<QueueDescription> {
    const { channels } = this.#settings;
    const { messageCount: depth } = await channels.use(
      (channel) => channel.checkQueue(name),
      `queue "${name}"`,
    );
    // A queue that Melange did not declare may have a name that leaves no room for what belongs to one.
    if (!hasRoomForSuffixes(name)) return { exists: true, depth, deadLetterQueue: undefined };
    return {
      exists: true,
      depth,
      deadLetterQueue: await this.#deadLetterQueueOf(name),
      ...(this.#declared.get(name)?.hasTopics === false && { topics: [] }),
      ...(await describeBindings(channels, name)),
    };
  }

  async deleteQueue(name: string): Promise<void> {
    const { channels, delayQueues } = this.#settings;
    this.#declared.delete(name);
    this.forgetSettings(name);
    const delays = delayQueues.namesOf(name);
    await channels.use(async (channel) => {
      await channel.deleteQueue(name);
      if (!hasRoomForSuffixes(name)) return;
      for (const queue of [...delays, recordQueue(name)]) await channel.deleteQueue(queue);
      await channel.deleteExchange(deadLetterExchange(name));
    }, `queue "${name}"`);
    for (const delay of delays) delayQueues.forget(delay);
  }

  async deleteTopic(name: string): Promise<void> {
    this.#topics.delete(name);
    await this.#settings.channels.use((channel) => channel.deleteExchange(name), `topic "${name}"`);
  }

  /**
   * Whether a queue counts its deliveries, as quorum queues do and classic ones do not. Where the broker does not tell, a
   * queue is taken for one that does.
   *
   * @throws MelangeError `CONFIGURATION` for a stream.
   */
  async countsDeliveries(queue: string): Promise<boolean> {
    const type = this.#declared.get(queue)?.type ?? (await this.#inspection.settingsOf(queue))?.type;
    if (type !== 'stream') return type !== 'classic';
    throw new MelangeError(
      'CONFIGURATION',
      `Queue "${queue}" is a stream of RabbitMQ, which keeps messages that were processed: declare a quorum or classic queue, and publish to that.`,
    );
  }

  /** The queue is gone: what is declared under its name later may be of another type. */
  forgetSettings(queue: string): void {
    this.#inspection.forget(queue);
  }

  /** Whether the topic is known to exist without asking. */
  knowsTopic(name: string): boolean {
    return this.#topics.has(name);
  }

  async topicExists(name: string): Promise<boolean> {
    const exists = await this.#settings.channels.exchangeExists(name);
    if (exists) this.#topics.add(name);
    return exists;
  }

  /** The broker said that it does not exist any more. */
  forgetTopic(name: string): void {
    this.#topics.delete(name);
  }

  async #assertQueue(
    name: string,
    type: RabbitMqQueueType,
    deadLetterQueue: string | undefined,
  ): Promise<void> {
    const exchange = deadLetterExchange(name);
    const settings = {
      'x-queue-type': type,
      ...(type === 'quorum' && { 'x-delivery-limit': unlimitedDeliveries }),
      ...(deadLetterQueue !== undefined && {
        'x-dead-letter-exchange': exchange,
        // The exchange needs no key; it is here so that another dead-letter queue is a conflict.
        'x-dead-letter-routing-key': deadLetterQueue,
      }),
    };
    await this.#settings.channels.use(async (channel) => {
      await channel.assertQueue(name, { durable: true, arguments: settings });
      if (deadLetterQueue === undefined) return;
      await channel.assertExchange(exchange, 'fanout', { durable: true });
      await channel.bindQueue(deadLetterQueue, exchange, '');
    }, `queue "${name}"`);
  }

  async #deadLetterQueueOf(queue: string): Promise<string | undefined> {
    const declared = this.#declared.get(queue);
    if (declared !== undefined) return declared.deadLetterQueue;
    const exchange = deadLetterExchange(queue);
    if (!(await this.#settings.channels.exchangeExists(exchange))) return undefined;
    const key = (await this.#inspection.settingsOf(queue))?.arguments['x-dead-letter-routing-key'];
    return key === undefined ? exchange : String(key);
  }
}
