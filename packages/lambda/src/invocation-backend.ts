import {
  type Capabilities,
  type Delivery,
  type Health,
  MelangeError,
  type MessagingBackend,
  type QueueDescription,
  type SubscribeOptions,
  type Subscription,
} from '@melange/core';
import type { Arrival } from './arrival.ts';
import { Invocation } from './invocation.ts';
import type { TimeLimit } from './time-limit.ts';

/** The backend that a dispatcher is given for one event: a queue that holds what the event brought, and no more. */
export class InvocationBackend implements MessagingBackend {
  readonly name = 'lambda';
  readonly capabilities: Capabilities;
  readonly #arrivals: readonly Arrival[];
  readonly #deadLetterQueue: () => Promise<string | undefined>;
  readonly #limit: TimeLimit;
  #invocation: Invocation | undefined;

  constructor(
    capabilities: Capabilities,
    arrivals: readonly Arrival[],
    deadLetterQueue: () => Promise<string | undefined>,
    limit: TimeLimit,
  ) {
    this.capabilities = capabilities;
    this.#arrivals = arrivals;
    this.#deadLetterQueue = deadLetterQueue;
    this.#limit = limit;
  }

  /** Messages that Lambda is to be told of: all that are not known to be done. */
  get undone(): readonly Arrival[] {
    return this.#invocation?.undone ?? this.#arrivals;
  }

  /** Resolves when every request that was begun is answered. */
  async settled(): Promise<void> {
    await this.#invocation?.settled();
  }

  async describeQueue(): Promise<QueueDescription> {
    const deadLetterQueue = await this.#deadLetterQueue();
    return { exists: true, depth: this.#arrivals.length, deadLetterQueue };
  }

  async subscribe(
    _queue: string,
    options: SubscribeOptions,
    receive: (delivery: Delivery) => void,
  ): Promise<Subscription> {
    const invocation = new Invocation(this.#arrivals, this.#limit, options, receive);
    this.#invocation = invocation;
    // Not before this has resolved.
    setImmediate(() => invocation.pump());
    return invocation;
  }

  async health(): Promise<Health> {
    return { status: 'healthy' };
  }

  async close(): Promise<void> {
    await this.#invocation?.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  readonly declareTopic: () => Promise<void> = unsupported;
  readonly declareQueue: () => Promise<void> = unsupported;
  readonly publishToQueue: () => Promise<void> = unsupported;
  readonly publishToTopic: () => Promise<void> = unsupported;
  readonly deleteQueue: () => Promise<void> = unsupported;
  readonly deleteTopic: () => Promise<void> = unsupported;
}

/** A dispatcher asks for none of it. */
async function unsupported(): Promise<void> {
  throw new MelangeError(
    'UNSUPPORTED',
    'This backend holds the messages of an event of Lambda: use the broker’s own.',
  );
}
