import { type Clock, systemClock } from '../contract/clock.ts';
import { isPromise, type MaybePromise } from '../contract/maybe-promise.ts';
import {
  CorrelationHeader,
  isReservedHeader,
  type Message,
  type MessageHeaders,
} from '../contract/message.ts';
import { MelangeError } from '../errors.ts';
import type { SerializedValue, SerializerRegistry } from '../messages/registry.ts';
import { type IdSource, uuidVersion7Source } from './message-id.ts';

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

/**
 * The envelope of every message of a batch. What an item says itself counts more, header by header. An id is one message's:
 * it is given beside its value.
 */
export type BatchEnvelopeOptions = Omit<EnvelopeOptions, 'id'>;

/** A value with an envelope of its own, for batches. */
export interface OutgoingMessage<Value> extends EnvelopeOptions {
  /** What is published. */
  readonly value: Value;
}

/** Rules out what cannot be a message: a promise somebody forgot to await, or a function. */
export type Publishable<Value> = Value extends PromiseLike<unknown> | ((...parameters: never[]) => unknown)
  ? never
  : Value;

/** No options and no headers, for every message that has none. */
export const none: Readonly<Record<string, never>> = Object.freeze({});

/** Makes messages of values. */
export class Envelopes {
  readonly #serializers: SerializerRegistry;
  readonly #clock: Clock;
  readonly #ids: IdSource;

  constructor(options: {
    readonly serializers: SerializerRegistry;
    readonly clock?: Clock;
    readonly ids?: IdSource;
  }) {
    this.#serializers = options.serializers;
    this.#clock = options.clock ?? systemClock;
    this.#ids = options.ids ?? uuidVersion7Source({ clock: this.#clock });
  }

  /** The promise of the message only where its serializer answers with one. */
  seal(value: unknown, envelope: EnvelopeOptions): MaybePromise<Message> {
    for (const name in envelope.headers) {
      if (Object.hasOwn(envelope.headers, name) && isReservedHeader(name)) {
        throw invalid(`The header "${name}" is Melange's own: use another name.`);
      }
    }
    if (envelope.id === '') {
      throw invalid('The id of the message is empty: give one, or leave it out for a new one.');
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

  /** In order; `shared` is the envelope of all. */
  async sealAll(batch: readonly OutgoingMessage<unknown>[], shared: EnvelopeOptions): Promise<Message[]> {
    if (shared.id !== undefined) throw invalid("An id is one message's: give it beside its value.");
    const messages: Message[] = [];
    for (const { value, ...own } of batch) {
      const headers = shared.headers && { headers: { ...shared.headers, ...own.headers } };
      const sealing = this.seal(value, { ...shared, ...own, ...headers });
      messages.push(isPromise(sealing) ? await sealing : sealing);
    }
    return messages;
  }
}

function invalid(text: string): MelangeError {
  return new MelangeError('MESSAGE_INVALID', text);
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
