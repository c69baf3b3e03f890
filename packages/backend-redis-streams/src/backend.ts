import { checkName, checkSubscribeOptions, type NameRules, Troubles } from '@melange/backend-kit';
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
} from '@melange/core';
import { checkDelayMs, unfailingLogger } from '@melange/core/adapter';
import { redisStreamsCapabilities } from './capabilities.ts';
import { closedError, RedisStreamsConnection, type ScriptParameter } from './client/connection.ts';
import type { ScriptName } from './client/scripts.ts';
import { RedisStreamsSubscription } from './consume/subscription.ts';
import { translated } from './errors.ts';
import { type RedisStreamsBackendOptions, type RedisStreamsSettings, settingsOf } from './options.ts';
import { type Destination, RedisStreamsPublisher } from './publish/publisher.ts';

/** Names are parts of keys, which may be long: these bounds are for people. */
const nameRules: NameRules = { maxBytes: 1_024 };

/** What a queue keeps though its declaration does not name it: topics, manifests, and 1 when all manifests. */
type Kept = readonly [topics: readonly Buffer[], manifests: readonly Buffer[], keepsAll: number];

type RawDescription = readonly [
  exists: number,
  depth: number,
  deadLetterQueue: Buffer,
  inFlight: number,
  topics: readonly Buffer[],
  filters: readonly Buffer[],
];

/** Carries Melange over Redis: a stream and its consumer group for each queue. */
export class RedisStreamsBackend implements MessagingBackend<typeof redisStreamsCapabilities> {
  readonly name = 'redis-streams';
  readonly capabilities: typeof redisStreamsCapabilities = redisStreamsCapabilities;
  readonly #settings: RedisStreamsSettings;
  readonly #logger: Logger;
  readonly #troubles: Troubles;
  readonly #connection: RedisStreamsConnection;
  readonly #publishers = new Map<string, RedisStreamsPublisher>();
  readonly #subscriptions = new Set<RedisStreamsSubscription>();
  #closed: Promise<void> | undefined;

  /** @throws MelangeError `CONFIGURATION` when an option makes no sense. */
  constructor(options: RedisStreamsBackendOptions = {}) {
    this.#settings = settingsOf(options);
    this.#logger = unfailingLogger(options.logger);
    this.#troubles = new Troubles({ logger: this.#logger });
    this.#connection = new RedisStreamsConnection(this.#settings, options, this.#logger, this.#troubles);
  }

  get address(): string {
    return this.#connection.address;
  }

  async declareTopic(name: string): Promise<void> {
    checkName('topic', name, nameRules);
    await this.#ask('declareTopic', name);
  }

  async declareQueue(name: string, options: QueueOptions = {}): Promise<void> {
    const { topics = [], filter, deadLetterQueue, removeTopics = [], replaceFilter = false } = options;
    checkName('queue', name, nameRules);
    if (deadLetterQueue !== undefined) checkName('dead-letter queue', deadLetterQueue, nameRules);
    for (const topic of [...topics, ...removeTopics]) checkName('topic', topic, nameRules);
    if (deadLetterQueue === name)
      throw new MelangeError('CONFIGURATION', `Queue "${name}" cannot dead-letter to itself.`);
    const wanted = filter === undefined ? '*' : JSON.stringify(filter);
    const changes = [deadLetterQueue ?? '', wanted, replaceFilter ? 1 : 0, topics.length];
    try {
      const kept = await this.#ask('declareQueue', name, ...changes, ...topics, ...removeTopics);
      this.#warnOfKept(name, kept as Kept, options);
    } catch (error) {
      const declared = /^CONFLICT ?(.*)$/.exec(causeOf(error))?.[1];
      if (declared === undefined) throw error;
      throw new TopologyConflictError(
        `Queue "${name}" exists with the dead-letter queue ${declared || '(none)'}, not ${deadLetterQueue ?? '(none)'}.`,
      );
    }
  }

  publishToQueue(
    queue: string,
    messages: readonly Message[],
    options: PublishToQueueOptions<typeof redisStreamsCapabilities> = {},
  ): Promise<void> {
    return this.#publish({ kind: 'queue', name: queue }, messages, options, options.delayMs ?? 0);
  }

  publishToTopic(topic: string, messages: readonly Message[], options: PublishOptions = {}): Promise<void> {
    return this.#publish({ kind: 'topic', name: topic }, messages, options, 0);
  }

  async subscribe(
    queue: string,
    options: SubscribeOptions,
    receive: (delivery: Delivery) => void,
  ): Promise<Subscription> {
    this.#assertOpen();
    checkSubscribeOptions(options);
    checkName('queue', queue, nameRules);
    checkSubscribeOptions(options);
    const { exists, deadLetterQueue } = await this.describeQueue(queue);
    if (!exists) throw new QueueNotFoundError(queue);
    this.#assertOpen();
    const subscription = new RedisStreamsSubscription(
      {
        ...this.#settings,
        connection: this.#connection,
        logger: this.#logger,
        troubles: this.#troubles,
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
    const [exists, depth, deadLetterQueue, inFlight, topics, filters] = answer as RawDescription;
    if (exists === 0) return { exists: false, depth: 0, deadLetterQueue: undefined };
    return {
      exists: true,
      depth,
      deadLetterQueue: String(deadLetterQueue) || undefined,
      inFlight,
      topics: topics.map(String).sort(),
      filter: unionOf(filters.map(String)),
    };
  }

  async deleteQueue(name: string): Promise<void> {
    await this.#ask('deleteQueue', name);
  }

  async deleteTopic(name: string): Promise<void> {
    await this.#ask('deleteTopic', name);
  }

  async health(): Promise<Health> {
    if (this.#closed !== undefined) return { status: 'unhealthy', detail: 'closed' };
    return this.#troubles.health();
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
    await Promise.all([...this.#publishers.values()].map((publisher) => publisher.drained()));
    this.#connection.close();
  }

  #publish(
    destination: Destination,
    messages: readonly Message[],
    { deadlineMs = this.#settings.publishTimeoutMs }: PublishOptions,
    delayMs: number,
  ): Promise<void> {
    try {
      this.#assertOpen();
      checkDelayMs('delayMs', delayMs);
      checkDelayMs('deadlineMs', deadlineMs);
      if (messages.length === 0) return Promise.resolve();
      const publisher = this.#publisherOf(destination);
      return publisher.publish(messages, Math.ceil(delayMs), performance.now() + deadlineMs);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #publisherOf(destination: Destination): RedisStreamsPublisher {
    const { kind, name } = destination;
    const key = `${kind}:${name}`;
    const known = this.#publishers.get(key);
    if (known !== undefined) return known;
    checkName(kind, name, nameRules);
    // Names come and go: one that rests is made again.
    const onIdle = (): void => void this.#publishers.delete(key);
    const publisher = new RedisStreamsPublisher(this.#connection, this.#troubles, destination, onIdle);
    this.#publishers.set(key, publisher);
    return publisher;
  }

  /** A declaration that asks for less than there is takes nothing away: it says so. */
  #warnOfKept(queue: string, [rawTopics, rawManifests, keepsAll]: Kept, options: QueueOptions): void {
    const topics = options.topics === undefined ? [] : rawTopics.map(String);
    const manifests = [...new Set(rawManifests.map(String))];
    if (topics.length === 0 && manifests.length === 0 && keepsAll === 0) return;
    this.#logger.warn('A queue keeps what its declaration does not name any more.', {
      queue,
      ...(topics.length > 0 && { topics, toRemoveTopics: 'removeTopics' }),
      ...(keepsAll === 1 && { manifests: 'all', toRemoveManifests: 'replaceFilter' }),
      ...(keepsAll === 0 && manifests.length > 0 && { manifests, toRemoveManifests: 'replaceFilter' }),
    });
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

/** Manifests wanted of all topics together; undefined for all. @param filters of each topic, as JSON or `*`. */
function unionOf(filters: readonly string[]): readonly string[] | undefined {
  if (filters.length === 0 || filters.includes('*')) return undefined;
  return [...new Set(filters.flatMap((filter) => JSON.parse(filter) as string[]))].sort();
}

function causeOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof Error ? cause.message : '';
}
