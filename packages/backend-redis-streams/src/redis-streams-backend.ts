import { checkSubscribeOptions } from '@melange/backend-kit';
import {
  BrokerUnavailableError,
  type Delivery,
  type Health,
  type Logger,
  MelangeError,
  type Message,
  type MessagingBackend,
  type PublishOptions,
  type PublishToQueueOptions,
  type QueueDescription,
  QueueNotFoundError,
  type QueueOptions,
  type SubscribeOptions,
  type Subscription,
  TopologyConflictError,
  unfailingLogger,
} from '@melange/core';
import { redisStreamsCapabilities } from './redis-streams-capabilities.ts';
import { closedError, RedisStreamsConnection, type ScriptParameter } from './redis-streams-connection.ts';
import { translated } from './redis-streams-errors.ts';
import {
  type RedisStreamsBackendOptions,
  type RedisStreamsSettings,
  settingsOf,
} from './redis-streams-options.ts';
import { type Destination, RedisStreamsPublisher } from './redis-streams-publisher.ts';
import type { ScriptName } from './redis-streams-scripts.ts';
import { RedisStreamsSubscription } from './redis-streams-subscription.ts';

/** Carries Melange over Redis: a stream and its consumer group for each queue. */
export class RedisStreamsBackend implements MessagingBackend<typeof redisStreamsCapabilities> {
  readonly name = 'redis-streams';
  readonly capabilities: typeof redisStreamsCapabilities = redisStreamsCapabilities;
  readonly #settings: RedisStreamsSettings;
  readonly #logger: Logger;
  readonly #connection: RedisStreamsConnection;
  readonly #publishers = new Map<string, RedisStreamsPublisher>();
  readonly #publishing = new Set<Promise<void>>();
  readonly #subscriptions = new Set<RedisStreamsSubscription>();
  #closed: Promise<void> | undefined;

  /** @throws MelangeError `CONFIGURATION` when an option makes no sense. */
  constructor(options: RedisStreamsBackendOptions = {}) {
    this.#settings = settingsOf(options);
    this.#logger = unfailingLogger(options.logger);
    this.#connection = new RedisStreamsConnection(this.#settings, options, this.#logger);
  }

  async declareTopic(name: string): Promise<void> {
    await this.#ask('declareTopic', name);
  }

  async declareQueue(name: string, options: QueueOptions = {}): Promise<void> {
    const { topics = [], filter, deadLetterQueue } = options;
    if (deadLetterQueue === name)
      throw new MelangeError('CONFIGURATION', `Queue "${name}" cannot dead-letter to itself.`);
    const wanted = filter === undefined ? '*' : JSON.stringify(filter);
    try {
      await this.#ask('declareQueue', name, deadLetterQueue ?? '', wanted, ...topics);
    } catch (error) {
      const declared = /^CONFLICT ?(.*)$/.exec(causeOf(error))?.[1];
      if (declared === undefined) throw error;
      throw new TopologyConflictError(
        `Queue "${name}" exists with the dead-letter queue ${declared || '(none)'}, not ${deadLetterQueue ?? '(none)'}.`,
      );
    }
  }

  async publishToQueue(
    queue: string,
    messages: readonly Message[],
    options: PublishToQueueOptions<typeof redisStreamsCapabilities> = {},
  ): Promise<void> {
    await this.#publish({ kind: 'queue', name: queue }, messages, options, Math.ceil(options.delayMs ?? 0));
  }

  async publishToTopic(
    topic: string,
    messages: readonly Message[],
    options: PublishOptions = {},
  ): Promise<void> {
    await this.#publish({ kind: 'topic', name: topic }, messages, options, 0);
  }

  async subscribe(
    queue: string,
    options: SubscribeOptions,
    receive: (delivery: Delivery) => void,
  ): Promise<Subscription> {
    this.#assertOpen();
    checkSubscribeOptions(options);
    const { exists, deadLetterQueue } = await this.describeQueue(queue);
    if (!exists) throw new QueueNotFoundError(queue);
    this.#assertOpen();
    const subscription = new RedisStreamsSubscription(
      {
        ...this.#settings,
        connection: this.#connection,
        logger: this.#logger,
        queue,
        deadLetterQueue,
        onGone: () => this.#subscriptions.delete(subscription),
      },
      options,
      receive,
    );
    this.#subscriptions.add(subscription);
    return subscription;
  }

  async describeQueue(name: string): Promise<QueueDescription> {
    const answer = await this.#ask('describeQueue', name);
    const [exists, depth, deadLetterQueue] = answer as [number, number, Buffer];
    return { exists: exists === 1, depth, deadLetterQueue: String(deadLetterQueue) || undefined };
  }

  async deleteQueue(name: string): Promise<void> {
    await this.#ask('deleteQueue', name);
  }

  async deleteTopic(name: string): Promise<void> {
    await this.#ask('deleteTopic', name);
  }

  async health(): Promise<Health> {
    if (this.#closed !== undefined) return { status: 'unhealthy', detail: 'closed' };
    const health = this.#connection.health();
    if (health.status !== 'healthy') return health;
    for (const { queue, stalledBecause } of this.#subscriptions) {
      if (stalledBecause !== undefined)
        return { status: 'degraded', detail: `queue "${queue}": not receiving: ${stalledBecause}` };
    }
    return health;
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    await Promise.all([...this.#subscriptions].map((subscription) => subscription.abandon()));
    await Promise.allSettled(this.#publishing);
    this.#connection.close();
  }

  async #publish(
    destination: Destination,
    messages: readonly Message[],
    options: PublishOptions,
    delayMs: number,
  ): Promise<void> {
    this.#assertOpen();
    if (messages.length === 0) return;
    const key = `${destination.kind}:${destination.name}`;
    const publisher = this.#publishers.get(key) ?? new RedisStreamsPublisher(this.#connection, destination);
    this.#publishers.set(key, publisher);
    const deadline = performance.now() + (options.deadlineMs ?? this.#settings.publishTimeoutMs);
    const published = publisher.publish(messages, delayMs, deadline);
    this.#publishing.add(published);
    try {
      await published;
    } finally {
      this.#publishing.delete(published);
      // Names come and go: one that rests is made again.
      if (publisher.isIdle) this.#publishers.delete(key);
    }
  }

  async #ask(script: ScriptName, name: string, ...parameters: readonly ScriptParameter[]): Promise<unknown> {
    this.#assertOpen();
    try {
      const deadline = performance.now() + this.#settings.connectTimeoutMs;
      return await this.#connection.run(script, [name, ...parameters], deadline);
    } catch (error) {
      if (MelangeError.is(error)) throw error;
      const why = translated(error, name);
      if (!MelangeError.is(why, 'PUBLISH_FAILED')) throw why;
      const text = `"${script}" of "${name}" failed. ${why.message}`;
      throw new BrokerUnavailableError(text, { cause: error });
    }
  }

  #assertOpen(): void {
    if (this.#closed !== undefined) throw closedError();
  }
}

function causeOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof Error ? cause.message : '';
}
