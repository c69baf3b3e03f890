import { type Logger, MelangeError, type QueueDescription, TopologyConflictError } from '@melange/core';
import type { Channel } from 'amqplib';
import { asMelangeError, closeChannel, codeOf, type RabbitMqConnection } from '../client/connection.ts';
import type { RabbitMqQueueOptions, RabbitMqQueueType } from '../options.ts';
import { recordQueue } from './binding-record.ts';
import { DelayQueues, unlimitedDeliveries } from './delay-queues.ts';
import { KnownSettings } from './known-settings.ts';
import { hasRoomForSuffixes } from './names.ts';
import { QueueBindings } from './queue-bindings.ts';

/** Exchange that leads from a queue to its dead-letter queue: any process can ask whether it exists. */
export function deadLetterExchange(queue: string): string {
  return `${queue}.dead-letter`;
}

/**
 * Declares and describes. Each call uses a channel of its own, for the broker closes the channel of a declaration
 * that conflicts.
 */
export class RabbitMqTopology {
  readonly #connection: RabbitMqConnection;
  readonly #defaultType: RabbitMqQueueType;
  readonly #logger: Logger;
  /** What was declared here, each declaration of a queue, without the topics that later ones took away. */
  readonly #queues = new Map<string, RabbitMqQueueOptions[]>();
  readonly #declaredTopics = new Set<string>();
  /** Topics that are known to exist, declared here or elsewhere. */
  readonly #topics = new Set<string>();
  readonly #deadLettering = new Set<string>();
  readonly #delayQueues: DelayQueues;
  readonly #bindings: QueueBindings;
  readonly #settings: KnownSettings;
  /** Resolves when what was declared here is declared again after the last reconnect. */
  replayed: Promise<void> = Promise.resolve();

  constructor(connection: RabbitMqConnection, defaultType: RabbitMqQueueType, logger: Logger) {
    this.#connection = connection;
    this.#defaultType = defaultType;
    this.#logger = logger;
    this.#delayQueues = new DelayQueues((work, subject) => this.#onChannel(work, subject));
    this.#bindings = new QueueBindings({
      onChannel: (work, subject) => this.#onChannel((channel) => work(channel as never), subject, true),
      queueExists: (name) => this.queueExists(name),
      topicExists: (name) => this.#exists((channel) => channel.checkExchange(name)),
    });
    this.#settings = new KnownSettings(
      (work, subject) => this.#onChannel(work, subject),
      (name) => this.#exists((channel) => channel.checkExchange(name)),
    );
    connection.onReconnected = () => {
      this.replayed = this.#replayAll();
    };
  }

  async declareTopic(name: string): Promise<void> {
    await this.#onChannel(
      (channel) => channel.assertExchange(name, 'topic', { durable: true }),
      `topic "${name}"`,
    );
    this.#topics.add(name);
    this.#declaredTopics.add(name);
  }

  declareQueue(name: string, options: RabbitMqQueueOptions): Promise<void> {
    return this.#declareQueue(name, options, this.#logger);
  }

  async #declareQueue(
    name: string,
    options: RabbitMqQueueOptions,
    logger: Logger | undefined,
  ): Promise<void> {
    const { deadLetterQueue, topics = [], removeTopics = [], type = this.#defaultType } = options;
    if (deadLetterQueue === name) throw configuration(`Queue "${name}" cannot dead-letter to itself.`);
    if (deadLetterQueue !== undefined && !(await this.queueExists(deadLetterQueue))) {
      await this.#declareQueue(deadLetterQueue, { type }, logger);
    }
    await this.#onChannel(async (channel) => {
      await channel.assertQueue(name, {
        durable: true,
        arguments: queueArguments(name, type, deadLetterQueue),
      });
      if (deadLetterQueue !== undefined) {
        const exchange = deadLetterExchange(name);
        await channel.assertExchange(exchange, 'fanout', { durable: true });
        await channel.bindQueue(deadLetterQueue, exchange, '');
      }
    }, `queue "${name}"`);
    if (topics.length > 0 || removeTopics.length > 0) await this.#bindings.change(name, options, logger);
    this.#keep(name, options);
    for (const topic of topics) this.#topics.add(topic);
  }

  /** For a later reconnect: what this declaration takes away is not declared again. */
  #keep(name: string, { removeTopics = [], replaceFilter, ...options }: RabbitMqQueueOptions): void {
    const over = new Set([...removeTopics, ...(replaceFilter === true ? (options.topics ?? []) : [])]);
    const declared = (this.#queues.get(name) ?? []).map((earlier) =>
      earlier.topics === undefined
        ? earlier
        : { ...earlier, topics: earlier.topics.filter((topic) => !over.has(topic)) },
    );
    const text = JSON.stringify(options);
    if (!declared.some((earlier) => JSON.stringify(earlier) === text)) declared.push(options);
    this.#queues.set(name, declared);
  }

  /** Whether a queue dead-letters, as far as its exchange tells; asked once where the answer is yes. */
  async hasDeadLetterQueue(queue: string): Promise<boolean> {
    if (this.#deadLettering.has(queue)) return true;
    const has = (await this.#deadLetterQueueOf(queue)) !== undefined;
    if (has) this.#deadLettering.add(queue);
    return has;
  }

  /**
   * Whether a queue counts its deliveries, as quorum queues do and classic ones do not. Where the broker does not tell, a
   * queue is taken for one that does.
   *
   * @throws MelangeError `CONFIGURATION` for a stream.
   */
  async countsDeliveries(queue: string): Promise<boolean> {
    const declared = this.#queues.get(queue)?.[0];
    if (declared !== undefined) return (declared.type ?? this.#defaultType) === 'quorum';
    const type = (await this.#settings.of(queue, deadLetterExchange(queue)))?.type;
    if (type === 'stream') {
      throw configuration(
        `Queue "${queue}" is a stream of RabbitMQ, which keeps messages that were processed: declare a quorum or classic queue, and publish to that.`,
      );
    }
    return type !== 'classic';
  }

  /** The queue was not there: what is known of it counts no more. */
  forgetSettings(queue: string): void {
    this.#settings.forget(queue);
  }

  /** After a reconnect: the broker may be another one, or have lost what it had. */
  async #replayAll(): Promise<void> {
    // One by one: what cannot be declared any more must not keep the others from being there.
    const declare = async (name: string, work: Promise<void>): Promise<void> => {
      await work.catch((error: unknown) => {
        const reason = error instanceof Error ? error.message : String(error);
        this.#logger.warn('cannot declare a queue or topic again', { name, reason });
      });
    };
    for (const topic of [...this.#declaredTopics]) await declare(topic, this.declareTopic(topic));
    for (const [queue, declarations] of [...this.#queues]) {
      // Nobody is warned again of what he was warned of as he declared it.
      for (const options of declarations) await declare(queue, this.#declareQueue(queue, options, undefined));
    }
  }

  /** Whether the topic is known to exist without asking. */
  knowsTopic(name: string): boolean {
    return this.#topics.has(name);
  }

  async topicExists(name: string): Promise<boolean> {
    if (this.#topics.has(name)) return true;
    const exists = await this.#exists((channel) => channel.checkExchange(name));
    if (exists) this.#topics.add(name);
    return exists;
  }

  /** The broker said that it does not exist any more. */
  forgetTopic(name: string): void {
    this.#topics.delete(name);
  }

  queueExists(name: string): Promise<boolean> {
    return this.#exists((channel) => channel.checkQueue(name));
  }

  async describeQueue(name: string): Promise<QueueDescription> {
    let depth = 0;
    const exists = await this.#exists(async (channel) => {
      depth = (await channel.checkQueue(name)).messageCount;
    });
    // What was not declared as a queue of Melange may have a name that leaves no room for what belongs to one.
    if (!exists || !hasRoomForSuffixes(name)) return { exists, depth, deadLetterQueue: undefined };
    const declared = this.#queues.get(name);
    const hasNoTopics = declared?.every(({ topics = [] }) => topics.length === 0) === true;
    return {
      exists,
      depth,
      deadLetterQueue: await this.#deadLetterQueueOf(name),
      ...(hasNoTopics && { topics: [] }),
      ...(await this.#bindings.describe(name)),
    };
  }

  async deleteQueue(name: string): Promise<void> {
    this.#queues.delete(name);
    this.#deadLettering.delete(name);
    this.#settings.forget(name);
    const delayQueues = this.#delayQueues.namesOf(name);
    await this.#onChannel(async (channel) => {
      await channel.deleteQueue(name);
      if (!hasRoomForSuffixes(name)) return;
      for (const queue of [...delayQueues, recordQueue(name)]) await channel.deleteQueue(queue);
      await channel.deleteExchange(deadLetterExchange(name));
    }, `queue "${name}"`);
    for (const delayed of delayQueues) this.#delayQueues.forget(delayed);
  }

  async deleteTopic(name: string): Promise<void> {
    this.#topics.delete(name);
    this.#declaredTopics.delete(name);
    await this.#onChannel((channel) => channel.deleteExchange(name), `topic "${name}"`);
  }

  /** Name of the queue in which messages wait so long before they go to `queue`, ready for use. */
  delayQueue(queue: string, delayMs: number): Promise<string> {
    return this.#delayQueues.prepare(queue, delayMs);
  }

  /** The delay queue turned out to be gone. */
  forgetDelayQueue(name: string): void {
    this.#delayQueues.forget(name);
  }

  async #deadLetterQueueOf(queue: string): Promise<string | undefined> {
    const declared = this.#queues.get(queue);
    if (declared?.[0] !== undefined) return declared[0].deadLetterQueue;
    const exchange = deadLetterExchange(queue);
    if (!(await this.#exists((channel) => channel.checkExchange(exchange)))) return undefined;
    const settings = (await this.#settings.of(queue, exchange))?.arguments ?? {};
    const key = settings['x-dead-letter-routing-key'];
    return key === undefined ? exchange : String(key);
  }

  async #exists(check: (channel: Channel) => Promise<unknown>): Promise<boolean> {
    try {
      await this.#onChannel(check, '');
      return true;
    } catch (error) {
      if (codeOf(error) === 404) return false;
      throw error;
    }
  }

  async #onChannel<Result>(
    work: (channel: Channel) => Promise<Result>,
    subject: string,
    confirms = false,
  ): Promise<Result> {
    let channel: Channel | undefined;
    try {
      const model = await this.#connection.acquire();
      channel = await (confirms ? model.createConfirmChannel() : model.createChannel());
      // A refused declaration is also an event, and an event that nobody hears ends the process.
      channel.on('error', () => undefined);
      return await work(channel);
    } catch (error) {
      const code = codeOf(error);
      if (code === 404) throw error;
      if (code !== 405 && code !== 406) throw asMelangeError(error);
      const reason =
        error instanceof Error
          ? error.message.replace(/^.*(PRECONDITION_FAILED|RESOURCE_LOCKED) - /, '')
          : '';
      throw new TopologyConflictError(`The ${subject} exists with other settings: ${reason}`, {
        cause: error,
      });
    } finally {
      if (channel !== undefined) void closeChannel(channel);
    }
  }
}

function queueArguments(name: string, type: RabbitMqQueueType, deadLetterQueue: string | undefined): object {
  return {
    'x-queue-type': type,
    ...(type === 'quorum' && { 'x-delivery-limit': unlimitedDeliveries }),
    ...(deadLetterQueue !== undefined && {
      'x-dead-letter-exchange': deadLetterExchange(name),
      // The exchange needs no key; it is here so that another dead-letter queue is a conflict.
      'x-dead-letter-routing-key': deadLetterQueue,
    }),
  };
}

function configuration(message: string): MelangeError {
  return new MelangeError('CONFIGURATION', message);
}
