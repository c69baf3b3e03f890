import {
  type Clock,
  type EnvelopeOptions,
  MelangeError,
  type MessageClass,
  type MessagingBackend,
  type OutgoingMessage,
  type PublishOptions,
  QueuePublisher,
  TopicPublisher,
  uuidVersion7Source,
} from '@melange/core';
import type { ServiceDefinition } from './definition.ts';
import type { ServicePublishing } from './service.ts';

/** The message that is handled, and its conversation. */
export type Cause = NonNullable<EnvelopeOptions['causedBy']>;

type Options = EnvelopeOptions & PublishOptions & { readonly delayMs?: number };

interface Destination {
  readonly messages: readonly MessageClass[];
  readonly publishers: readonly Publisher[];
}

interface Publisher {
  publish(name: string, message: object, options: Options): Promise<string>;
  publishBatch(name: string, batch: readonly OutgoingMessage<object>[], options: Options): Promise<string[]>;
}

/** Publishes what the service declares to publish, to where it says. */
export class Publishing {
  readonly #definition: ServiceDefinition;
  readonly #ids = uuidVersion7Source();
  readonly #topicPublishers: Readonly<Record<string, Publisher>>;
  readonly #queuePublishers: Readonly<Record<string, Publisher>>;
  readonly #topics = new Map<string, Destination>();
  readonly #queues = new Map<string, Destination>();
  #underWay = 0;

  constructor(
    definition: ServiceDefinition,
    backends: Readonly<Record<string, MessagingBackend>>,
    clock: Clock,
  ) {
    this.#definition = definition;
    const serializers = definition.messages.registry;
    const each = (make: (backend: MessagingBackend) => Publisher): Readonly<Record<string, Publisher>> =>
      Object.fromEntries(Object.entries(backends).map(([name, backend]) => [name, make(backend)]));
    this.#topicPublishers = each(
      (backend) => new TopicPublisher({ backend, serializers, clock }) as Publisher,
    );
    this.#queuePublishers = each(
      (backend) => new QueuePublisher({ backend, serializers, clock }) as Publisher,
    );
  }

  /** Publishes that are not settled, from before their messages are serialized. */
  get underWay(): number {
    return this.#underWay;
  }

  /** @param cause carried on by all that is published. Default: none. */
  because(cause?: Cause): ServicePublishing {
    const caused = <Given extends object>(options: Given): Given =>
      cause === undefined ? options : { causedBy: cause, ...options };
    return {
      publish: (topic, message, options = {}) =>
        this.#counted(() => this.#publish(topic, this.#topic(topic), message as object, caused(options))),
      publishBatch: (topic, batch, options = {}) =>
        this.#counted(() =>
          this.#publishBatch(topic, this.#topic(topic), batch as OutgoingMessage<object>[], caused(options)),
        ),
      send: (queue, message, options = {}) =>
        this.#counted(() => this.#publish(queue, this.#queue(queue), message as object, caused(options))),
      sendBatch: (queue, batch, options = {}) =>
        this.#counted(() =>
          this.#publishBatch(queue, this.#queue(queue), batch as OutgoingMessage<object>[], caused(options)),
        ),
    };
  }

  /** Rejects what it throws. */
  async #counted<Result>(publish: () => Promise<Result>): Promise<Result> {
    this.#underWay += 1;
    try {
      return await publish();
    } finally {
      this.#underWay -= 1;
    }
  }

  #topic(name: string): Destination {
    return cached(this.#topics, name, () => {
      const { messages, backends } = this.#definition.topic(name);
      return { messages, publishers: backends.map((backend) => this.#topicPublishers[backend] as Publisher) };
    });
  }

  #queue(name: string): Destination {
    return cached(this.#queues, name, () => {
      const { messages, backends } = this.#definition.send(name);
      return { messages, publishers: backends.map((backend) => this.#queuePublishers[backend] as Publisher) };
    });
  }

  async #publish(
    name: string,
    { messages, publishers }: Destination,
    message: object,
    options: Options,
  ): Promise<string> {
    this.#checkCarried(name, messages, message);
    const [only, ...others] = publishers as [Publisher, ...Publisher[]];
    if (others.length === 0) return only.publish(name, message, options);
    // On every broker under one id: whoever reads from two of them recognises the copy.
    const id = options.id ?? this.#ids(Date.now());
    await all(publishers.map((publisher) => publisher.publish(name, message, { ...options, id })));
    return id;
  }

  async #publishBatch(
    name: string,
    { messages, publishers }: Destination,
    batch: readonly OutgoingMessage<object>[],
    options: Options,
  ): Promise<string[]> {
    for (const { value } of batch) this.#checkCarried(name, messages, value);
    const [only, ...others] = publishers as [Publisher, ...Publisher[]];
    if (others.length === 0) return only.publishBatch(name, batch, options);
    const identified = batch.map((message) => ({ ...message, id: message.id ?? this.#ids(Date.now()) }));
    await all(publishers.map((publisher) => publisher.publishBatch(name, identified, options)));
    return identified.map(({ id }) => id);
  }

  #checkCarried(name: string, messages: readonly MessageClass[], message: object): void {
    if (messages.some((type) => message instanceof type)) return;
    const carried = messages.map((type) => type.name).join(', ');
    throw new MelangeError(
      'MESSAGE_INVALID',
      `Service "${this.#definition.name}": "${name}" carries ${carried}, and no ${describe(message)}.`,
    );
  }
}

/** Waits for all, whatever becomes of one: what is under way must not be left behind by an error. */
async function all(publishing: readonly Promise<unknown>[]): Promise<void> {
  const results = await Promise.allSettled(publishing);
  const failed = results.find(({ status }) => status === 'rejected');
  if (failed !== undefined) throw (failed as PromiseRejectedResult).reason;
}

function describe(message: unknown): string {
  if (typeof message !== 'object' || message === null) return String(message);
  const prototype = Object.getPrototypeOf(message) as { constructor?: { name?: unknown } } | null;
  if (prototype === null || prototype === Object.prototype)
    return 'plain object: make an instance of the class';
  return String(prototype.constructor?.name);
}

function cached<Value>(cache: Map<string, Value>, name: string, make: () => Value): Value {
  let value = cache.get(name);
  if (value === undefined) {
    value = make();
    cache.set(name, value);
  }
  return value;
}
