import { checkName, checkSubscribeOptions, type NameRules, Troubles } from '@melange/backend-kit';
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
} from '@melange/core';
import { checkDelayMs, checkWholeNumber, unfailingLogger } from '@melange/core/adapter';
import { type Kept, MemoryBindings } from './client/bindings.ts';
import { MemoryQueue } from './client/queue.ts';
import { MemorySubscription } from './consume/subscription.ts';
import type { MemoryBackendOptions } from './options.ts';
import { copyMessage } from './wire.ts';

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
  readonly exactDepth: true;
  readonly fencedSettlements: true;
  readonly tellsRedeliveries: true;
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
  exactDepth: true,
  fencedSettlements: true,
  tellsRedeliveries: true,
  maxMessageBytes: undefined,
};

/** The answer to every publish that has nothing to wait for. */
const taken = Promise.resolve();

/** Names are nobody else's here: as long and as strange as they like, but not empty. */
const anyName: NameRules = { maxBytes: Number.MAX_SAFE_INTEGER };

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
  readonly #bindings = new MemoryBindings();
  /** Subscriptions whose queue was deleted, by its name: they go on when it is declared again. */
  readonly #orphans = new Map<string, readonly MemorySubscription[]>();
  readonly #troubles: Troubles;
  readonly #interceptors = new Map<string, Interceptor>();
  #isClosed = false;

  /** @throws MelangeError `CONFIGURATION` when `maxMessages` or `leaseMs` is below 1. */
  constructor(options: MemoryBackendOptions = {}) {
    const { clock = systemClock, leaseMs, maxMessages = 1_000_000 } = options;
    this.#clock = clock;
    this.#logger = unfailingLogger(options.logger);
    this.#leaseMs = leaseMs === undefined ? undefined : checkDelayMs('leaseMs', leaseMs, 1);
    this.#maxMessages = checkWholeNumber('maxMessages', maxMessages, 1);
    this.#troubles = new Troubles({ logger: this.#logger, monotonicNow: () => clock.monotonicNow() });
  }

  async declareTopic(name: string): Promise<void> {
    this.#assertOpen();
    checkName('topic', name, anyName);
    this.#bindings.declareTopic(name);
  }

  async declareQueue(name: string, options: QueueOptions = {}): Promise<void> {
    this.#assertOpen();
    const { deadLetterQueue, topics = [] } = options;
    for (const topic of topics) checkName('topic', topic, anyName);
    for (const queue of [name, deadLetterQueue ?? name]) checkName('queue', queue, anyName);
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
      this.#makeQueue(deadLetterQueue, undefined);
    if (existing === undefined) this.#makeQueue(name, deadLetterQueue);
    const kept = this.#bindings.declare(name, options);
    if (kept !== undefined) this.#warnOfKept(name, kept);
  }

  publishToQueue(
    queue: string,
    messages: readonly Message[],
    options?: PublishOptions & { readonly delayMs?: number },
  ): Promise<void> {
    const target = this.#queues.get(queue);
    if (options?.delayMs !== undefined && !isDelay(options.delayMs)) return refuseDelay(options.delayMs);
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
    const bindings = this.#bindings.of(topic);
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
    return {
      exists: true,
      depth: queue.depth,
      inFlight: queue.inFlight,
      deadLetterQueue: queue.settings.deadLetterQueue,
      topics: this.#bindings.topicsOf(name),
      filter: this.#bindings.filterOf(name),
    };
  }

  async deleteQueue(name: string): Promise<void> {
    this.#assertOpen();
    this.#bindings.deleteQueue(name);
    this.#interceptors.delete(name);
    const queue = this.#queues.get(name);
    if (queue === undefined) return;
    this.#queues.delete(name);
    const orphans = queue.drop('The queue was deleted.', new QueueNotFoundError(name));
    if (orphans.length === 0) return;
    this.#orphans.set(name, orphans);
    this.#troubles.begin(receivingFrom(name), 'it was deleted: declare it again, or end what consumes it');
  }

  async deleteTopic(name: string): Promise<void> {
    this.#assertOpen();
    this.#bindings.deleteTopic(name);
  }

  async health(): Promise<Health> {
    if (this.#isClosed) return { status: 'unhealthy', detail: 'closed' };
    for (const [name, orphans] of this.#orphans) {
      if (!orphans.every(({ isOver }) => isOver)) continue;
      this.#orphans.delete(name);
      this.#troubles.forget(receivingFrom(name));
    }
    const trouble = this.#troubles.health();
    if (trouble.status !== 'healthy') return trouble;
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
    for (const orphan of [...this.#orphans.values()].flat()) orphan.end();
    this.#orphans.clear();
    this.#queues.clear();
    this.#bindings.clear();
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

  #makeQueue(name: string, deadLetterQueue: string | undefined): void {
    const queue = this.#newQueue(name, deadLetterQueue);
    this.#queues.set(name, queue);
    for (const orphan of this.#orphans.get(name) ?? []) if (!orphan.isOver) orphan.moveTo(queue);
    this.#orphans.delete(name);
    this.#troubles.end(receivingFrom(name));
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

  /** A declaration that asks for less than there is takes nothing away: it says so. */
  #warnOfKept(queue: string, { topics, manifests }: Kept): void {
    this.#logger.warn('a queue keeps what its declaration does not name any more', {
      queue,
      ...(topics.length > 0 && { topics, toRemoveTopics: 'removeTopics' }),
      ...(manifests?.length !== 0 && { manifests: manifests ?? 'all', toRemoveManifests: 'replaceFilter' }),
    });
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

function receivingFrom(queue: string): string {
  return `receiving from queue "${queue}"`;
}

function isDelay(delayMs: number): boolean {
  return delayMs >= 0 && delayMs < Number.POSITIVE_INFINITY;
}

async function refuseDelay(delayMs: number): Promise<void> {
  checkDelayMs('delayMs', delayMs);
}
