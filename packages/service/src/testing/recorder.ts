import type {
  DeadLetterOptions,
  Delivery,
  MaybePromise,
  Message,
  MessageContent,
  MessagingBackend,
  SerializerRegistry,
} from '@melange/core';
import type { DeadLettered, Published } from './service-test.ts';

/** What went to and from the brokers of a test. */
export class Recorder {
  readonly published: Published[] = [];
  readonly deadLettered: (DeadLettered & { readonly queue: string })[] = [];
  readonly #serializers: SerializerRegistry;
  /** Where each message was published first. */
  readonly #firstBackends = new Map<string, MessagingBackend>();

  constructor(serializers: SerializerRegistry) {
    this.#serializers = serializers;
  }

  /** The backend, with all that passes through it written down. */
  record(backend: MessagingBackend): MessagingBackend {
    const recorded: Partial<MessagingBackend> = {
      publishToQueue: (queue, messages, options) =>
        this.#publish(backend, { kind: 'queue', name: queue }, messages, () =>
          backend.publishToQueue(queue, messages, options),
        ),
      publishToTopic: (topic, messages, options) =>
        this.#publish(backend, { kind: 'topic', name: topic }, messages, () =>
          backend.publishToTopic(topic, messages, options),
        ),
      subscribe: (queue, options, receive) =>
        backend.subscribe(queue, options, (delivery) => receive(this.#recordDelivery(queue, delivery))),
    };
    return new Proxy(backend, {
      get: (target, name) => {
        const own = recorded[name as keyof MessagingBackend];
        if (own !== undefined) return own;
        const value: unknown = Reflect.get(target, name);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
  }

  async #publish(
    backend: MessagingBackend,
    destination: Published['destination'],
    messages: readonly Message[],
    publish: () => Promise<void>,
  ): Promise<void> {
    await publish();
    for (const message of messages) {
      if (this.#isCopy(backend, destination, message)) continue;
      const { id, key, headers } = message;
      this.published.push({ message: await this.#decoded(message), destination, id, key, headers });
    }
  }

  /** Of a topic on several brokers each gets the message; it was published once. */
  #isCopy(backend: MessagingBackend, { kind, name }: Published['destination'], { id }: Message): boolean {
    const key = JSON.stringify([kind, name, id]);
    const first = this.#firstBackends.get(key) ?? backend;
    this.#firstBackends.set(key, first);
    return first !== backend;
  }

  #recordDelivery(queue: string, delivery: Delivery): Delivery {
    const deadLetter = async (options: DeadLetterOptions): Promise<void> => {
      await delivery.deadLetter(options);
      const { id, headers } = delivery.message;
      const { reason, error, attempts = delivery.attempt } = options;
      const message = await this.#decoded(delivery.message);
      this.deadLettered.push({ queue, message, reason, error, attempts, id, headers });
    };
    return new Proxy(delivery, {
      get: (target, name) => {
        if (name === 'deadLetter') return deadLetter;
        const value: unknown = Reflect.get(target, name);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
  }

  /** As its reader sees it; content that nobody can read as it is. */
  async #decoded({ content, manifest, serializerId }: Message): Promise<unknown> {
    if (content === null) return null;
    try {
      const decoded: MaybePromise<unknown> = this.#serializers.deserialize({
        content,
        manifest,
        serializerId,
      });
      return await decoded;
    } catch {
      return content satisfies MessageContent;
    }
  }
}
