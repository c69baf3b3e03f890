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

/** Envelope of one message: everything besides its value. */
export interface EnvelopeOptions {
  /** Default: a new one. Give the same id again to make a repeated publish a recognisable duplicate. Never empty. */
  readonly id?: string;
  /** Ordering key. Default: none. */
  readonly key?: string;
  /** The application's headers. Default: none. Names that Melange uses itself are refused. */
  readonly headers?: MessageHeaders;
  /** Id of the conversation that the message belongs to, sent in the header `correlationId`. Default: that of `causedBy`. */
  readonly correlationId?: string;
  /**
   * The message that caused this one, usually the context of the handler: its correlation id is taken over, and its id is sent
   * in the header `causationId`. Default: none.
   */
  readonly causedBy?: { readonly messageId: string; readonly correlationId: string };
}

/**
 * Envelope of every message of a batch. An item's own envelope takes precedence, header by header. An id belongs to a single
 * message, so it is given with the item.
 */
export type BatchEnvelopeOptions = Omit<EnvelopeOptions, 'id'>;

/** A value with an envelope of its own, for batches. */
export interface OutgoingMessage<Value> extends EnvelopeOptions {
  /** The value that is published. */
  readonly value: Value;
}

/** Excludes values that cannot be messages: a promise that was not awaited, and functions. */
export type Publishable<Value> = Value extends PromiseLike<unknown> | ((...parameters: never[]) => unknown)
  ? never
  : Value;

/** Shared by all messages without options, and by all without headers. */
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

  /** Returns a promise only where the serializer does. */
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

  /** Makes the messages of a batch, in its order; `shared` is the envelope of all. */
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

/** The application's headers, which take precedence over those that follow from `causedBy`. */
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
