import { checkSubscribeOptions } from '@melange/backend-kit';
import {
  type Clock,
  type Delivery,
  type Health,
  type Logger,
  type MaybePromise,
  MelangeError,
  type Message,
  type MessagingBackend,
  PublishError,
  type PublishFailure,
  type PublishOptions,
  type QueueDescription,
  QueueNotFoundError,
  type QueueOptions,
  type SubscribeOptions,
  type Subscription,
  systemClock,
  TopicNotFoundError,
  TopologyConflictError,
  warningLogger,
} from '@melange/core';
import { copyMessage } from './memory-message-mapper.ts';
import { atLeast, type MemoryBackendOptions } from './memory-options.ts';
import { MemoryQueue } from './memory-queue.ts';
import { MemorySubscription } from './memory-subscription.ts';

/** What the memory broker can do. */
export const memoryCapabilities: {
  readonly delayedDelivery: true;
  readonly orderingByKey: true;
  readonly ordered: true;
  readonly brokerSideFilters: true;
  readonly replay: false;
  readonly queuesKeepTopicMessages: true;
  readonly tombstones: true;
  readonly durable: false;
  readonly releaseKeepsAttempt: true;
  readonly deliveriesOutliveConnections: false;
  readonly maxMessageBytes: undefined;
} = {
  delayedDelivery: true,
  orderingByKey: true,
  ordered: true,
  brokerSideFilters: true,
  replay: false,
  queuesKeepTopicMessages: true,
  tombstones: true,
  durable: false,
  releaseKeepsAttempt: true,
  deliveriesOutliveConnections: false,
  maxMessageBytes: undefined,
};

/** Which manifests a queue wants of a topic; `undefined` means all. */
type Binding = Set<string> | undefined;

/** The answer to every publish that has nothing to wait for. */
const taken = Promise.resolve();

/** Takes messages in place of a queue. */
type Interceptor = (message: Message) => Promise<void>;

/**
 * A broker inside this process: the embedded default, and the model of an adapter. It lives and dies with the
 * backend; while it lives it keeps every guarantee of `MessagingBackend`.
 */
export class MemoryBackend implements MessagingBackend<typeof memoryCapabilities> {
  readonly name = 'memory';
  readonly capabilities: typeof memoryCapabilities = memoryCapabilities;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #leaseMs: number | undefined;
  readonly #maxMessages: number;
  readonly #queues = new Map<string, MemoryQueue>();
  readonly #topics = new Map<string, Map<string, Binding>>();
  readonly #interceptors = new Map<string, Interceptor>();
  #isClosed = false;

  /** @throws MelangeError `CONFIGURATION` when `maxMessages` or `leaseMs` is below 1. */
  constructor(options: MemoryBackendOptions = {}) {
    this.#clock = options.clock ?? systemClock;
    this.#logger = options.logger ?? warningLogger;
    this.#leaseMs = options.leaseMs === undefined ? undefined : atLeast(1, 'leaseMs', options.leaseMs);
    this.#maxMessages = atLeast(1, 'maxMessages', options.maxMessages ?? 1_000_000);
  }

  async declareTopic(name: string): Promise<void> {
    this.#assertOpen();
    this.#topicOrNew(name);
  }

  async declareQueue(name: string, options: QueueOptions = {}): Promise<void> {
    this.#assertOpen();
    const { topics = [], filter, deadLetterQueue } = options;
    if (deadLetterQueue === name)
      throw new MelangeError('CONFIGURATION', `Queue "${name}" cannot dead-letter to itself.`);
    const existing = this.#queues.get(name);
    const declared = existing?.settings.deadLetterQueue;
    if (existing !== undefined && declared !== deadLetterQueue) {
      throw new TopologyConflictError(
        `Queue "${name}" exists with the dead-letter queue ${declared ?? '(none)'}, not ${deadLetterQueue ?? '(none)'}.`,
      );
    }
    // All in one turn: declared twice at once, a queue must not be made twice and lose messages.
    if (deadLetterQueue !== undefined && !this.#queues.has(deadLetterQueue))
      this.#queues.set(deadLetterQueue, this.#newQueue(deadLetterQueue, undefined));
    if (existing === undefined) this.#queues.set(name, this.#newQueue(name, deadLetterQueue));
    for (const topic of topics) this.#bind(topic, name, filter);
  }

  publishToQueue(
    queue: string,
    messages: readonly Message[],
    options?: PublishOptions & { readonly delayMs?: number },
  ): Promise<void> {
    const target = this.#queues.get(queue);
    const isPlain = target !== undefined && !this.#isClosed && this.#interceptors.size === 0;
    if (!isPlain || target.size + messages.length > this.#maxMessages)
      return this.#putIntoQueue(queue, messages, options?.delayMs);
    for (const message of messages) target.put(message, options?.delayMs);
    return taken;
  }

  async publishToTopic(
    topic: string,
    messages: readonly Message[],
    _options?: PublishOptions,
  ): Promise<void> {
    this.#assertOpen();
    const bindings = this.#topics.get(topic);
    if (bindings === undefined) throw new TopicNotFoundError(topic);
    await this.#put(topic, messages, ({ manifest }) => {
      const targets: MemoryQueue[] = [];
      for (const [queue, wanted] of bindings) {
        if (wanted === undefined || wanted.has(manifest ?? '')) targets.push(this.#queue(queue));
      }
      return targets;
    });
  }

  async subscribe(
    queue: string,
    options: SubscribeOptions,
    receive: (delivery: Delivery) => void,
  ): Promise<Subscription> {
    this.#assertOpen();
    checkSubscribeOptions(options);
    const source = this.#queue(queue);
    const subscription = new MemorySubscription(source, options, receive);
    source.add(subscription);
    return subscription;
  }

  async describeQueue(name: string): Promise<QueueDescription> {
    this.#assertOpen();
    const queue = this.#queues.get(name);
    if (queue === undefined) return { exists: false, depth: 0, deadLetterQueue: undefined };
    return { exists: true, depth: queue.depth, deadLetterQueue: queue.settings.deadLetterQueue };
  }

  async deleteQueue(name: string): Promise<void> {
    this.#assertOpen();
    for (const bindings of this.#topics.values()) bindings.delete(name);
    this.#queues.get(name)?.end('The queue was deleted.', new QueueNotFoundError(name));
    this.#queues.delete(name);
    this.#interceptors.delete(name);
  }

  async deleteTopic(name: string): Promise<void> {
    this.#assertOpen();
    this.#topics.delete(name);
  }

  async health(): Promise<Health> {
    if (this.#isClosed) return { status: 'unhealthy', detail: 'closed' };
    const full = [...this.#queues.values()].find(({ size }) => size >= this.#maxMessages);
    return full === undefined
      ? { status: 'healthy' }
      : { status: 'degraded', detail: `queue "${full.name}" is full` };
  }

  /**
   * Whether no queue hands anything over until somebody publishes, settles or subscribes, or time passes: for tests that
   * wait until all has happened.
   */
  get isQuiet(): boolean {
    for (const queue of this.#queues.values()) if (!queue.isQuiet) return false;
    return true;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const queue of this.#queues.values()) queue.end('The backend was closed.');
    this.#queues.clear();
    this.#topics.clear();
    this.#interceptors.clear();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /**
   * From now on, messages for the queue go to `interceptor` while their publisher waits, and what it throws
   * rejects the publish. The returned function ends that. See `linkSynchronously`.
   *
   * @throws QueueNotFoundError when the queue does not exist.
   * @throws MelangeError `CONFIGURATION` when the queue is intercepted already.
   */
  intercept(queue: string, interceptor: (message: Message) => Promise<void>): () => void {
    this.#assertOpen();
    this.#queue(queue);
    if (this.#interceptors.has(queue))
      throw new MelangeError('CONFIGURATION', `Queue "${queue}" is linked already: end that link first.`);
    this.#interceptors.set(queue, interceptor);
    return () => {
      if (this.#interceptors.get(queue) === interceptor) this.#interceptors.delete(queue);
    };
  }

  async #putIntoQueue(queue: string, messages: readonly Message[], delayMs?: number): Promise<void> {
    this.#assertOpen();
    const targets = [this.#queue(queue)];
    await this.#put(queue, messages, () => targets, delayMs);
  }

  /** The promise of having put them only where somebody takes them in place of their queue. */
  #put(
    destination: string,
    messages: readonly Message[],
    targetsOf: (message: Message) => MemoryQueue[],
    delayMs?: number,
  ): MaybePromise<void> {
    if (this.#interceptors.size > 0) return this.#putOrIntercept(destination, messages, targetsOf, delayMs);
    const failures: PublishFailure[] = [];
    for (const message of messages) {
      const targets = targetsOf(message);
      if (this.#isTakenBy(targets, message, failures))
        for (const target of targets) target.put(message, delayMs);
    }
    if (failures.length > 0) throw new PublishError(destination, failures);
  }

  async #putOrIntercept(
    destination: string,
    messages: readonly Message[],
    targetsOf: (message: Message) => MemoryQueue[],
    delayMs?: number,
  ): Promise<void> {
    const failures: PublishFailure[] = [];
    // In this turn: interceptors are waited for, and the owner of the messages may change them meanwhile.
    for (const message of messages.map(copyMessage)) {
      const targets = targetsOf(message);
      if (!this.#isTakenBy(targets, message, failures)) continue;
      for (const target of targets) {
        const interceptor = this.#interceptors.get(target.name);
        if (interceptor === undefined) {
          target.put(message, delayMs);
          continue;
        }
        await interceptor(copyMessage(message));
        this.#assertOpen();
      }
    }
    if (failures.length > 0) throw new PublishError(destination, failures);
  }

  /** By all queues of a topic or none: a message that is refused must be one that may be published again. */
  #isTakenBy(targets: readonly MemoryQueue[], { id }: Message, failures: PublishFailure[]): boolean {
    for (const target of targets) {
      if (target.size < this.#maxMessages) continue;
      failures.push({ messageId: id, error: this.#fullError(target) });
      return false;
    }
    return true;
  }

  #newQueue(name: string, deadLetterQueue: string | undefined): MemoryQueue {
    return new MemoryQueue(name, {
      clock: this.#clock,
      logger: this.#logger,
      leaseMs: this.#leaseMs,
      deadLetterQueue,
      putIntoDeadLetterQueue: (message) => {
        const target = this.#queue(deadLetterQueue ?? '');
        if (target.size >= this.#maxMessages) throw this.#fullError(target);
        target.put(message);
      },
    });
  }

  #bind(topic: string, queue: string, filter: readonly string[] | undefined): void {
    const bindings = this.#topicOrNew(topic);
    const wanted = bindings.get(queue);
    if (filter === undefined) bindings.set(queue, undefined);
    else if (wanted !== undefined) for (const manifest of filter) wanted.add(manifest);
    else if (!bindings.has(queue)) bindings.set(queue, new Set(filter));
  }

  #topicOrNew(name: string): Map<string, Binding> {
    const existing = this.#topics.get(name);
    if (existing !== undefined) return existing;
    const bindings = new Map<string, Binding>();
    this.#topics.set(name, bindings);
    return bindings;
  }

  #queue(name: string): MemoryQueue {
    const queue = this.#queues.get(name);
    if (queue === undefined) throw new QueueNotFoundError(name);
    return queue;
  }

  #fullError({ name }: MemoryQueue): MelangeError {
    return new MelangeError(
      'QUEUE_FULL',
      `Queue "${name}" holds ${this.#maxMessages} messages: consume, or raise maxMessages.`,
    );
  }

  #assertOpen(): void {
    if (this.#isClosed) throw new MelangeError('CLOSED', 'The memory backend is closed.');
  }
}
