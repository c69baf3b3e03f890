import type {
  Capabilities,
  MessagingBackend,
  PublishingBackend,
  PublishOptions,
  PublishToQueueOptions,
} from '../contract/backend.ts';
import { BackendManager } from '../contract/backend-manager.ts';
import { checkDelayMs } from '../contract/check-number.ts';
import type { Clock } from '../contract/clock.ts';
import { channels, traced } from '../contract/instrumentation.ts';
import { isPromise } from '../contract/maybe-promise.ts';
import type { Message } from '../contract/message.ts';
import type { SerializerRegistry } from '../messages/registry.ts';
import {
  type BatchEnvelopeOptions,
  type EnvelopeOptions,
  Envelopes,
  none,
  type OutgoingMessage,
  type Publishable,
} from './envelope.ts';
import type { IdSource } from './message-id.ts';
import type { MessagePublisher } from './message-publisher.ts';

/** Options of a publisher. */
export interface PublisherOptions<Features extends Capabilities> {
  /** Serializes the values. */
  readonly serializers: SerializerRegistry;
  /** Default: that of `BackendManager`. */
  readonly backend?: PublishingBackend<Features>;
  /** Source of `publishedAt`. Default: the machine's clock. */
  readonly clock?: Clock;
  /** Makes message ids. Default: UUIDv7. */
  readonly ids?: IdSource;
}

/** Publishes to queues. */
export class QueuePublisher<Features extends Capabilities = Capabilities>
  implements MessagePublisher<PublishToQueueOptions<Features>>
{
  readonly #envelopes: Envelopes;
  readonly #backend: PublishingBackend<Features>;

  constructor(options: PublisherOptions<Features>) {
    this.#envelopes = new Envelopes(options);
    this.#backend = options.backend ?? (BackendManager.getDefaultBackend() as MessagingBackend<Features>);
  }

  /**
   * Resolves with the message's id when the broker has safely taken it.
   *
   * @throws SerializationError, QueueNotFoundError, PublishError.
   */
  async publish<Value>(
    queue: string,
    value: Publishable<Value>,
    options: EnvelopeOptions & PublishToQueueOptions<Features> = none as EnvelopeOptions &
      PublishToQueueOptions<Features>,
  ): Promise<string> {
    const sealing = this.#envelopes.seal(value, options);
    const message = isPromise(sealing) ? await sealing : sealing;
    await this.#send(queue, [message], options);
    return message.id;
  }

  /**
   * Publishes in order; resolves with the ids when the broker has safely taken all. Nothing is sent when
   * one of them cannot be serialized.
   *
   * @param options as those of `publish`, for every message of the batch; an item's own envelope takes precedence.
   */
  async publishBatch<Value>(
    queue: string,
    batch: readonly OutgoingMessage<Publishable<Value>>[],
    options: BatchEnvelopeOptions & PublishToQueueOptions<Features> = none as BatchEnvelopeOptions &
      PublishToQueueOptions<Features>,
  ): Promise<string[]> {
    const messages = await this.#envelopes.sealAll(batch, options);
    await this.#send(queue, messages, options);
    return messages.map(({ id }) => id);
  }

  #send(queue: string, messages: Message[], options: PublishToQueueOptions<Features>): Promise<void> {
    const backend = this.#backend;
    checkBounds(options);
    if (!channels.publish.hasSubscribers) return backend.publishToQueue(queue, messages, options);
    return traced(
      channels.publish,
      { backend: backend.name, destination: queue, kind: 'queue', messages },
      () => backend.publishToQueue(queue, messages, options),
    );
  }
}

/** Publishes to topics. */
export class TopicPublisher<Features extends Capabilities = Capabilities> implements MessagePublisher {
  readonly #envelopes: Envelopes;
  readonly #backend: PublishingBackend<Features>;

  constructor(options: PublisherOptions<Features>) {
    this.#envelopes = new Envelopes(options);
    this.#backend = options.backend ?? (BackendManager.getDefaultBackend() as MessagingBackend<Features>);
  }

  /**
   * Resolves with the message's id when the broker has safely taken it for every bound queue.
   *
   * @throws SerializationError, TopicNotFoundError, PublishError.
   */
  async publish<Value>(
    topic: string,
    value: Publishable<Value>,
    options: EnvelopeOptions & PublishOptions = none,
  ): Promise<string> {
    const sealing = this.#envelopes.seal(value, options);
    const message = isPromise(sealing) ? await sealing : sealing;
    await this.#send(topic, [message], options);
    return message.id;
  }

  /** As `QueuePublisher.publishBatch`. */
  async publishBatch<Value>(
    topic: string,
    batch: readonly OutgoingMessage<Publishable<Value>>[],
    options: BatchEnvelopeOptions & PublishOptions = none,
  ): Promise<string[]> {
    const messages = await this.#envelopes.sealAll(batch, options);
    await this.#send(topic, messages, options);
    return messages.map(({ id }) => id);
  }

  #send(topic: string, messages: Message[], options: PublishOptions): Promise<void> {
    const backend = this.#backend;
    checkBounds(options);
    if (!channels.publish.hasSubscribers) return backend.publishToTopic(topic, messages, options);
    return traced(
      channels.publish,
      { backend: backend.name, destination: topic, kind: 'topic', messages },
      () => backend.publishToTopic(topic, messages, options),
    );
  }
}

/** @throws MelangeError `CONFIGURATION` for a `deadlineMs` or `delayMs` that is negative or not finite. */
function checkBounds({ deadlineMs, delayMs }: PublishOptions & { readonly delayMs?: number }): void {
  if (deadlineMs !== undefined) checkDelayMs('deadlineMs', deadlineMs);
  if (delayMs !== undefined) checkDelayMs('delayMs', delayMs);
}
