import type { Capabilities, MessagingBackend, PublishOptions, PublishToQueueOptions } from './backend.ts';
import { BackendManager } from './backend-manager.ts';
import { checkDelayMs } from './check-number.ts';
import { type Clock, systemClock } from './clock.ts';
import { isPromise, type MaybePromise } from './deduplication-cache.ts';
import { MelangeError } from './errors.ts';
import { channels, isObserved, type PublishTrace, traced } from './instrumentation.ts';
import { CorrelationHeader, isReservedHeader, type Message, type MessageHeaders } from './message.ts';
import { type IdSource, uuidVersion7Source } from './message-id.ts';
import type { MessagePublisher } from './message-publisher.ts';
import type { SerializedValue, SerializerRegistry } from './serializer-registry.ts';

/** What a publisher is made of. */
export interface PublisherOptions<Features extends Capabilities> {
  /** Turns values into content. */
  readonly serializers: SerializerRegistry;
  /** Default: that of `BackendManager`. */
  readonly backend?: MessagingBackend<Features>;
  /** Time of `publishedAt`. Default: the machine's. */
  readonly clock?: Clock;
  /** Maker of message ids. Default: UUIDv7. */
  readonly ids?: IdSource;
}

/** The envelope of one message. */
export interface EnvelopeOptions {
  /** Default: a new one. Give the same id again to make a repeated publish a recognisable duplicate. Never empty. */
  readonly id?: string;
  /** Ordering key. Default: none. */
  readonly key?: string;
  /** The application's headers. Default: none. Names that Melange uses itself are refused. */
  readonly headers?: MessageHeaders;
  /** Names the conversation that the message belongs to, in the header `correlationId`. Default: that of `causedBy`. */
  readonly correlationId?: string;
  /**
   * The message that this one is published because of, such as the context of its handler: its correlation id is carried
   * on, and its id travels in the header `causationId`. Default: none.
   */
  readonly causedBy?: { readonly messageId: string; readonly correlationId: string };
}

/** A value with its envelope, for batches. */
export interface OutgoingMessage<Value> extends EnvelopeOptions {
  /** What is published. */
  readonly value: Value;
}

/** Rules out what cannot be a message: a promise somebody forgot to await, or a function. */
export type Publishable<Value> = Value extends PromiseLike<unknown> | ((...parameters: never[]) => unknown)
  ? never
  : Value;

/** No options and no headers, for every message that has none. */
const none: Readonly<Record<string, never>> = Object.freeze({});

/** Publishes to queues. */
export class QueuePublisher<Features extends Capabilities = Capabilities>
  implements MessagePublisher<PublishToQueueOptions<Features>>
{
  readonly #envelopes: Envelopes;
  readonly #backend: MessagingBackend<Features>;

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
   */
  async publishBatch<Value>(
    queue: string,
    batch: readonly OutgoingMessage<Publishable<Value>>[],
    options: PublishToQueueOptions<Features> = none as PublishToQueueOptions<Features>,
  ): Promise<string[]> {
    const messages = await this.#envelopes.sealAll(batch);
    await this.#send(queue, messages, options);
    return messages.map(({ id }) => id);
  }

  #send(queue: string, messages: Message[], options: PublishToQueueOptions<Features>): Promise<void> {
    const backend = this.#backend;
    checkBounds(options);
    if (!isObserved(channels.publish)) return backend.publishToQueue(queue, messages, options);
    return traced(
      channels.publish,
      (): PublishTrace => ({ backend: backend.name, destination: queue, kind: 'queue', messages }),
      () => backend.publishToQueue(queue, messages, options),
    );
  }
}

/** Publishes to topics. */
export class TopicPublisher<Features extends Capabilities = Capabilities> implements MessagePublisher {
  readonly #envelopes: Envelopes;
  readonly #backend: MessagingBackend<Features>;

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
    options: PublishOptions = none,
  ): Promise<string[]> {
    const messages = await this.#envelopes.sealAll(batch);
    await this.#send(topic, messages, options);
    return messages.map(({ id }) => id);
  }

  #send(topic: string, messages: Message[], options: PublishOptions): Promise<void> {
    const backend = this.#backend;
    checkBounds(options);
    if (!isObserved(channels.publish)) return backend.publishToTopic(topic, messages, options);
    return traced(
      channels.publish,
      (): PublishTrace => ({ backend: backend.name, destination: topic, kind: 'topic', messages }),
      () => backend.publishToTopic(topic, messages, options),
    );
  }
}

/** @throws MelangeError `CONFIGURATION` for times that make no sense. */
function checkBounds({ deadlineMs, delayMs }: PublishOptions & { readonly delayMs?: number }): void {
  if (deadlineMs !== undefined) checkDelayMs('deadlineMs', deadlineMs);
  if (delayMs !== undefined) checkDelayMs('delayMs', delayMs);
}

/** Makes messages of values. */
class Envelopes {
  readonly #serializers: SerializerRegistry;
  readonly #clock: Clock;
  readonly #ids: IdSource;

  constructor(options: Pick<PublisherOptions<Capabilities>, 'serializers' | 'clock' | 'ids'>) {
    this.#serializers = options.serializers;
    this.#clock = options.clock ?? systemClock;
    this.#ids = options.ids ?? uuidVersion7Source({ clock: this.#clock });
  }

  /** The promise of the message only where its serializer answers with one. */
  seal(value: unknown, envelope: EnvelopeOptions): MaybePromise<Message> {
    for (const name in envelope.headers) {
      if (Object.hasOwn(envelope.headers, name) && isReservedHeader(name)) {
        throw new MelangeError('MESSAGE_INVALID', `The header "${name}" is Melange's own; use another name.`);
      }
    }
    if (envelope.id === '') {
      throw new MelangeError(
        'MESSAGE_INVALID',
        'The id of the message is empty: give one, or leave it out for a new one.',
      );
    }
    const serialized = this.#serializers.serialize(value);
    if (isPromise(serialized)) return serialized.then((result) => this.#message(result, envelope));
    return this.#message(serialized, envelope);
  }

  #message(
    { content, manifest, serializerId, contentType }: SerializedValue,
    envelope: EnvelopeOptions,
  ): Message {
    const publishedAt = this.#clock.now();
    return {
      id: envelope.id ?? this.#ids(publishedAt),
      content,
      manifest,
      serializerId,
      contentType,
      key: envelope.key,
      headers: headersOf(envelope),
      publishedAt,
    };
  }

  async sealAll(batch: readonly OutgoingMessage<unknown>[]): Promise<Message[]> {
    const messages: Message[] = [];
    for (const { value, ...envelope } of batch) messages.push(await this.seal(value, envelope));
    return messages;
  }
}

/** The application's headers, which count more than what follows from the cause. */
function headersOf({ headers, correlationId, causedBy }: EnvelopeOptions): MessageHeaders {
  if (correlationId === undefined && causedBy === undefined) return headers ?? none;
  return {
    ...(causedBy && {
      [CorrelationHeader.correlationId]: causedBy.correlationId,
      [CorrelationHeader.causationId]: causedBy.messageId,
    }),
    ...headers,
    ...(correlationId !== undefined && { [CorrelationHeader.correlationId]: correlationId }),
  };
}
