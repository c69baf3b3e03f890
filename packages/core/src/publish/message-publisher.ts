import type { PublishOptions } from '../contract/backend.ts';
import { MelangeError } from '../errors.ts';
import type { MessageClass } from '../messages/message-type.ts';
import type { BatchEnvelopeOptions, EnvelopeOptions, OutgoingMessage, Publishable } from './envelope.ts';

/**
 * Interface of `QueuePublisher` and `TopicPublisher`, for code that also takes a fake in tests, or a publisher to several
 * brokers.
 */
export interface MessagePublisher<Options extends object = PublishOptions> {
  /** Resolves with the message's id when the broker has confirmed it. */
  publish<Value>(
    destination: string,
    value: Publishable<Value>,
    options?: EnvelopeOptions & Options,
  ): Promise<string>;
  /** Publishes in order; resolves with the ids when the broker has confirmed all. The options apply to every message. */
  publishBatch<Value>(
    destination: string,
    batch: readonly OutgoingMessage<Publishable<Value>>[],
    options?: BatchEnvelopeOptions & Options,
  ): Promise<string[]>;
}

/** Publishes messages of some classes to one destination. */
export interface LimitedPublisher<Instance extends object, Options extends object = PublishOptions> {
  /** As the publisher that it was made of. */
  publish(message: Instance, options?: EnvelopeOptions & Options): Promise<string>;
  /** As the publisher that it was made of. */
  publishBatch(
    batch: readonly OutgoingMessage<Instance>[],
    options?: BatchEnvelopeOptions & Options,
  ): Promise<string[]>;
}

/**
 * A publisher to one topic or queue that takes instances of some classes only. A plain object of the same fields would be
 * sent as untyped JSON, and the filters of queues would drop it.
 *
 * Its methods reject with `MESSAGE_INVALID` for a value that is an instance of none of the classes.
 */
export function limitPublisher<Type extends MessageClass, Options extends object>(
  publisher: MessagePublisher<Options>,
  destination: string,
  types: readonly Type[],
): LimitedPublisher<InstanceType<Type>, Options> {
  const check = (message: object): void => {
    if (types.some((type) => message instanceof type)) return;
    const names = types.map(({ name }) => name).join(', ');
    throw new MelangeError(
      'MESSAGE_INVALID',
      `"${destination}" carries instances of ${names}, and nothing else.`,
    );
  };
  return {
    async publish(message, options) {
      check(message);
      return publisher.publish<unknown>(destination, message, options);
    },
    async publishBatch(batch, options) {
      for (const { value } of batch) check(value);
      return publisher.publishBatch<unknown>(destination, batch, options);
    },
  };
}
