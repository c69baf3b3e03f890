import { type Logger, MelangeError, type QueueDescription, TopologyConflictError } from '@melange/core';
import type { Channel } from 'amqplib';
import { DelayQueues, unlimitedDeliveries } from './delay-queues.ts';
import { asMelangeError, closeChannel, codeOf, type RabbitMqConnection } from './rabbitmq-connection.ts';
import { routingKeyOf } from './rabbitmq-message-mapper.ts';
import type { RabbitMqQueueOptions, RabbitMqQueueType } from './rabbitmq-options.ts';

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
  /** What was declared here, each declaration of a queue: a later one adds topics and removes none. */
  readonly #queues = new Map<string, RabbitMqQueueOptions[]>();
  readonly #declaredTopics = new Set<string>();
  /** Topics that are known to exist, declared here or elsewhere. */
  readonly #topics = new Set<string>();
  readonly #deadLettering = new Set<string>();
  readonly #delayQueues: DelayQueues;

  constructor(connection: RabbitMqConnection, defaultType: RabbitMqQueueType, logger: Logger) {
    this.#connection = connection;
    this.#defaultType = defaultType;
    this.#logger = logger;
    this.#delayQueues = new DelayQueues((work, what) => this.#onChannel(work, what));
    connection.onReconnected = () => void this.#replayAll();
  }

  async declareTopic(name: string): Promise<void> {
    await this.#onChannel(
      (channel) => channel.assertExchange(name, 'topic', { durable: true }),
      `topic "${name}"`,
    );
    this.#topics.add(name);
    this.#declaredTopics.add(name);
  }

  async declareQueue(name: string, options: RabbitMqQueueOptions): Promise<void> {
    const { deadLetterQueue, topics = [], filter, type = this.#defaultType } = options;
    if (deadLetterQueue === name) throw configuration(`Queue "${name}" cannot dead-letter to itself.`);
    if (deadLetterQueue !== undefined && !(await this.queueExists(deadLetterQueue))) {
      await this.declareQueue(deadLetterQueue, { type });
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
      for (const topic of topics) {
        await channel.assertExchange(topic, 'topic', { durable: true });
        for (const pattern of filter?.map(routingKeyOf) ?? ['#'])
          await channel.bindQueue(name, topic, pattern);
      }
    }, `queue "${name}"`);
    const declared = this.#queues.get(name) ?? [];
    const text = JSON.stringify(options);
    if (!declared.some((earlier) => JSON.stringify(earlier) === text)) declared.push(options);
    this.#queues.set(name, declared);
    for (const topic of topics) this.#topics.add(topic);
  }

  /** Whether a queue dead-letters, as far as its exchange tells; asked once where the answer is yes. */
  async hasDeadLetterQueue(queue: string): Promise<boolean> {
    if (this.#deadLettering.has(queue)) return true;
    const has = (await this.#deadLetterQueueOf(queue)) !== undefined;
    if (has) this.#deadLettering.add(queue);
    return has;
  }

  /** Declares a queue of ours again, if it is ours: the broker may have lost it. */
  async replay(queue: string): Promise<void> {
    for (const options of [...(this.#queues.get(queue) ?? [])]) await this.declareQueue(queue, options);
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
    for (const queue of [...this.#queues.keys()]) await declare(queue, this.replay(queue));
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
    const deadLetterQueue = exists ? await this.#deadLetterQueueOf(name) : undefined;
    return { exists, depth, deadLetterQueue };
  }

  async deleteQueue(name: string): Promise<void> {
    this.#queues.delete(name);
    this.#deadLettering.delete(name);
    const delayQueues = this.#delayQueues.namesOf(name);
    await this.#onChannel(async (channel) => {
      for (const queue of [name, ...delayQueues]) await channel.deleteQueue(queue);
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
    return (await this.#exists((channel) => channel.checkExchange(exchange))) ? exchange : undefined;
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

  async #onChannel<Result>(work: (channel: Channel) => Promise<Result>, what: string): Promise<Result> {
    let channel: Channel | undefined;
    try {
      const model = await this.#connection.acquire();
      channel = await model.createChannel();
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
      throw new TopologyConflictError(`The ${what} exists with other settings: ${reason}`, { cause: error });
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
