import { randomUUID } from 'node:crypto';
import {
  type ConsumeContext,
  type Consumer,
  fixedDelays,
  MessageDispatcher,
  type MessageDispatcherOptions,
  type MessagingBackend,
  QueuePublisher,
  SerializerRegistry,
  silentLogger,
} from '@melange/core';
import { JsonSerializer } from '@melange/serializer-json';

export const serializers: SerializerRegistry = new SerializerRegistry({
  serializers: { json: new JsonSerializer() },
  default: 'json',
});

/** What a handler does. */
export type Process = (message: { readonly n: number }, context: ConsumeContext) => unknown;

export function consumer(process: Process, name = 'billing'): Consumer {
  return {
    name,
    accepts: () => true,
    process: async (message, context) => void (await process(message as { n: number }, context)),
  };
}

/** A queue of its own on a backend, with a dead-letter queue. */
export class Scene {
  readonly backend: MessagingBackend;
  readonly queue: string = `orders-${randomUUID().slice(0, 8)}`;
  readonly dead: string = `${this.queue}-dead`;
  readonly publisher: QueuePublisher;

  private constructor(backend: MessagingBackend) {
    this.backend = backend;
    this.publisher = new QueuePublisher({ backend, serializers });
  }

  static async open(backend: MessagingBackend): Promise<Scene> {
    const scene = new Scene(backend);
    await backend.declareQueue(scene.queue, { deadLetterQueue: scene.dead });
    return scene;
  }

  dispatcher(
    consumers: Process | readonly Consumer[],
    options: Partial<MessageDispatcherOptions> = {},
  ): MessageDispatcher {
    const dispatcher = new MessageDispatcher({
      backend: this.backend,
      serializers,
      retry: fixedDelays([0, 0]),
      logger: silentLogger,
      ...options,
    });
    for (const each of typeof consumers === 'function' ? [consumer(consumers)] : consumers)
      dispatcher.attachConsumer(each);
    return dispatcher;
  }

  /** Consumes what is there until as many messages have ended, and then stops. */
  async consume(
    consumers: Process | readonly Consumer[],
    messages = 1,
    options: Partial<MessageDispatcherOptions> = {},
  ): Promise<void> {
    const dispatcher = this.dispatcher(consumers, options);
    const stop = new AbortController();
    let ended = 0;
    await dispatcher.consumeLoop(this.queue, {
      signal: stop.signal,
      afterConsume: () => {
        ended += 1;
        if (ended === messages) stop.abort();
      },
    });
  }
}
