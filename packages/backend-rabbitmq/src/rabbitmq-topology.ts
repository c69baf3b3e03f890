import { MelangeError, type QueueDescription, TopologyConflictError } from '@melange/core';
import type { Channel } from 'amqplib';
import type { RabbitMqConnection } from './rabbitmq-connection.ts';
import { routingKeyOf } from './rabbitmq-message-mapper.ts';
import type { RabbitMqQueueOptions, RabbitMqQueueType } from './rabbitmq-options.ts';

/** A delay queue that nobody used for so long, after its delay, is removed by the broker. */
const delayQueueIdleMs = 3_600_000;
/** How long a delay queue is trusted to exist: far less than it takes to expire. */
const delayQueueTrustedMs = 30_000;
const longestDelayMs = 4_294_967_295 - delayQueueIdleMs;

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
  readonly #queues = new Map<string, RabbitMqQueueOptions>();
  readonly #topics = new Set<string>();
  /** Delay queues by name, with the time of their last declaration. */
  readonly #delayQueues = new Map<string, number>();

  constructor(connection: RabbitMqConnection, defaultType: RabbitMqQueueType) {
    this.#connection = connection;
    this.#defaultType = defaultType;
  }

  async declareTopic(name: string): Promise<void> {
    await this.#onChannel(
      (channel) => channel.assertExchange(name, 'topic', { durable: true }),
      `topic "${name}"`,
    );
    this.#topics.add(name);
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
    this.#queues.set(name, options);
    for (const topic of topics) this.#topics.add(topic);
  }

  /** Declares a queue of ours again, if it is ours: the broker may have lost it. */
  async replay(queue: string): Promise<void> {
    const options = this.#queues.get(queue);
    if (options !== undefined) await this.declareQueue(queue, options);
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
    const delayQueues = [...this.#delayQueues.keys()].filter((delayed) =>
      delayed.startsWith(`${name}.delay.`),
    );
    await this.#onChannel(async (channel) => {
      for (const queue of [name, ...delayQueues]) await channel.deleteQueue(queue);
      await channel.deleteExchange(deadLetterExchange(name));
    }, `queue "${name}"`);
    for (const delayed of delayQueues) this.#delayQueues.delete(delayed);
  }

  async deleteTopic(name: string): Promise<void> {
    this.#topics.delete(name);
    await this.#onChannel((channel) => channel.deleteExchange(name), `topic "${name}"`);
  }

  /**
   * The queue in which messages wait so long before they go to `queue`; each delay has its own, for a message
   * only leaves from the head. Delays are rounded up to two digits, so that jitter does not make a queue for
   * each message.
   */
  async delayQueue(queue: string, delayMs: number): Promise<string> {
    const rounded = Math.min(roundUp(delayMs), longestDelayMs);
    const name = `${queue}.delay.${rounded}`;
    const declaredAt = this.#delayQueues.get(name);
    if (declaredAt !== undefined && Date.now() - declaredAt < delayQueueTrustedMs) return name;
    const declaring = Date.now();
    try {
      await this.#onChannel(
        (channel) =>
          channel.assertQueue(name, {
            durable: true,
            arguments: delayArguments(queue, rounded, this.#defaultType),
          }),
        `queue "${name}"`,
      );
    } catch (error) {
      // Made by a process with another default type: it delays just the same.
      if (!MelangeError.is(error, 'TOPOLOGY_CONFLICT')) throw error;
    }
    this.#delayQueues.set(name, declaring);
    return name;
  }

  /** The delay queue turned out to be gone. */
  forgetDelayQueue(name: string): void {
    this.#delayQueues.delete(name);
  }

  async #deadLetterQueueOf(queue: string): Promise<string | undefined> {
    const declared = this.#queues.get(queue);
    if (declared !== undefined) return declared.deadLetterQueue;
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
    const model = await this.#connection.acquire();
    const channel = await model.createChannel();
    // A refused declaration is also an event, and an event that nobody hears ends the process.
    channel.on('error', () => undefined);
    try {
      const result = await work(channel);
      await channel.close();
      return result;
    } catch (error) {
      await channel.close().catch(() => undefined);
      if (codeOf(error) !== 406) throw error;
      const reason = error instanceof Error ? error.message.replace(/^.*PRECONDITION_FAILED - /, '') : '';
      throw new TopologyConflictError(`The ${what} exists with other settings: ${reason}`, { cause: error });
    }
  }
}

function queueArguments(name: string, type: RabbitMqQueueType, deadLetterQueue: string | undefined): object {
  return {
    'x-queue-type': type,
    ...(deadLetterQueue !== undefined && {
      'x-dead-letter-exchange': deadLetterExchange(name),
      // The exchange needs no key; it is here so that another dead-letter queue is a conflict.
      'x-dead-letter-routing-key': deadLetterQueue,
    }),
  };
}

function delayArguments(queue: string, delayMs: number, type: RabbitMqQueueType): object {
  return {
    'x-queue-type': type,
    'x-message-ttl': delayMs,
    'x-expires': delayMs + delayQueueIdleMs,
    'x-dead-letter-exchange': '',
    'x-dead-letter-routing-key': queue,
    // A quorum queue keeps an expired message until its target has confirmed it, if it is asked to; the
    // strategy needs this overflow behaviour. Classic queues hand over without a confirmation.
    ...(type === 'quorum' && { 'x-dead-letter-strategy': 'at-least-once', 'x-overflow': 'reject-publish' }),
  };
}

function roundUp(delayMs: number): number {
  const unit = 10 ** Math.max(0, Math.floor(Math.log10(Math.max(1, delayMs))) - 1);
  return Math.ceil(delayMs / unit) * unit;
}

function codeOf(error: unknown): unknown {
  return (error as { code?: unknown } | undefined)?.code;
}

function configuration(message: string): MelangeError {
  return new MelangeError('CONFIGURATION', message);
}
