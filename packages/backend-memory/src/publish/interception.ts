import {
  type Capabilities,
  MelangeError,
  type Message,
  type MessagingBackend,
  type PublishOptions,
} from '@melange/core';
import type { Broker } from '../client/broker.ts';
import type { Queue } from '../client/queue.ts';
import { copied } from '../wire.ts';

/** Takes messages in place of a queue, while their publisher waits. */
export type Interceptor = (message: Message) => Promise<void>;

/** Where the messages of a queue can be intercepted. */
export interface Interceptable {
  /**
   * From now on, messages for the queue go to `interceptor` while their publisher waits, and what it throws
   * rejects the publish. The returned function ends that. See `linkSynchronously`.
   *
   * @throws QueueNotFoundError when the queue does not exist.
   * @throws MelangeError `CONFIGURATION` when the queue is intercepted already.
   */
  intercept(queue: string, interceptor: Interceptor): () => void;
}

type Publishing = Pick<
  MessagingBackend<Capabilities & { readonly delayedDelivery: true }>,
  'publishToQueue' | 'publishToTopic'
>;

/** Publishing that looks for interceptors first, in place of the backend's. */
export function interception(broker: Broker, backend: Publishing): Interceptable & Publishing {
  /** Queues with an interceptor, and those that were deleted with one: while there are none, a publish costs nothing more. */
  const linked = new Set<Queue>();
  const publishToQueue = backend.publishToQueue.bind(backend);
  const publishToTopic = backend.publishToTopic.bind(backend);

  /** One after the other; the first error ends it, and is the caller's as it is. */
  const publishEach = async (
    messages: readonly Message[],
    queuesOf: (message: Message) => readonly string[],
    options?: PublishOptions,
  ): Promise<void> => {
    // In this turn: interceptors are waited for, and the owner of the messages may change them meanwhile.
    for (const message of messages.map(copied)) {
      for (const name of queuesOf(message)) {
        const interceptor = broker.queues.get(name)?.interceptor;
        await (interceptor === undefined
          ? publishToQueue(name, [message], options)
          : interceptor(copied(message)));
      }
    }
  };

  return {
    intercept(name, interceptor) {
      const queue = broker.queue(name);
      if (queue.interceptor !== undefined)
        throw new MelangeError('CONFIGURATION', `Queue "${name}" is linked already: end that link first.`);
      queue.interceptor = interceptor;
      linked.add(queue);
      return () => {
        if (queue.interceptor !== interceptor) return;
        queue.interceptor = undefined;
        linked.delete(queue);
      };
    },
    publishToQueue(queue, messages, options) {
      const isIntercepted = linked.size > 0 && broker.queues.get(queue)?.interceptor !== undefined;
      if (!isIntercepted) return publishToQueue(queue, messages, options);
      return publishEach(messages, () => [queue], options);
    },
    publishToTopic(topic, messages, options) {
      const isIntercepted =
        linked.size > 0 && [...(broker.topics.get(topic)?.keys() ?? [])].some((queue) => linked.has(queue));
      if (!isIntercepted) return publishToTopic(topic, messages, options);
      const queuesOf = ({ manifest }: Message): string[] =>
        broker.queuesOf(topic, manifest).map(({ name }) => name);
      return publishEach(messages, queuesOf, options);
    },
  };
}
