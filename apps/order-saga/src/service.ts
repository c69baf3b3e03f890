import {
  exponentialBackoff,
  MessageDispatcher,
  type MessagingBackend,
  QueuePublisher,
  type SerializerRegistry,
  type SingleDispatchConsumer,
  silentLogger,
} from '@melange/core';
import { MemoryDeduplicationCache } from '@melange/dedup-memory';

/** Names of the queues of one run: several runs share a broker without meeting. */
export interface QueueNames {
  readonly orders: string;
  readonly payments: string;
  readonly saga: string;
}

/** The queues of a run, by names that every broker takes. */
export function queueNames(runId: string): QueueNames {
  return { orders: `${runId}-orders`, payments: `${runId}-payments`, saga: `${runId}-saga` };
}

/** Where a queue's failures end. */
export function deadLetterQueueOf(queue: string): string {
  return `${queue}-dead`;
}

/** Sends a message to a service as the consequence of another. */
export type Send = (
  to: keyof QueueNames,
  message: object,
  because: { readonly messageId: string },
) => Promise<void>;

/** The backend of each service, where its queue lives. */
export type Backends = Readonly<Record<keyof QueueNames, MessagingBackend>>;

/**
 * Publishes to the queue of a service on the backend of that service. The id follows from the message that
 * caused it: a handler that runs again publishes a duplicate that the receiver recognises.
 */
export function sender(backends: Backends, names: QueueNames, serializers: SerializerRegistry): Send {
  const publishers = {
    orders: new QueuePublisher({ backend: backends.orders, serializers }),
    payments: new QueuePublisher({ backend: backends.payments, serializers }),
    saga: new QueuePublisher({ backend: backends.saga, serializers }),
  };
  return async (to, message, { messageId }) => {
    const id = `${messageId}/${message.constructor.name}`;
    await publishers[to].publish(names[to], message, {
      id,
      headers: { correlationId: messageId.split('/')[0] ?? '' },
    });
  };
}

/**
 * A consumer on its own queue, with retries and a deduplication cache.
 *
 * @param onFailed told when the backend gives the queue up: from then on nothing is consumed.
 */
export function startService(
  consumer: SingleDispatchConsumer,
  queue: string,
  backend: MessagingBackend,
  serializers: SerializerRegistry,
  onFailed: (error: unknown) => void,
): MessageDispatcher {
  const dispatcher = new MessageDispatcher({
    backend,
    serializers,
    cache: new MemoryDeduplicationCache(),
    concurrency: 50,
    retry: exponentialBackoff({ firstDelayMs: 50, longestDelayMs: 1_000, maxAttempts: 20 }),
    // Declined payments are the point of this example; the table counts them.
    logger: silentLogger,
  });
  dispatcher.attachConsumer(consumer);
  dispatcher.consumeLoop(queue).catch(onFailed);
  return dispatcher;
}
