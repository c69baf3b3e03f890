import type { DriverContext } from '@melange/backend-kit';
import { MelangeError, type Message } from '@melange/core';
import { maxQueueBytes } from '../client/batch.ts';
import { isMessageRefused, reasonOf } from '../errors.ts';
import type { SqsWireFormat } from '../options.ts';
import { copyAttributes } from '../wire/attributes.ts';
import { type Encoded, encode } from '../wire/encoded.ts';
import {
  deadLetterDeduplicationId,
  type OutgoingMessage,
  type ReceivedMessage,
  typesOf,
} from '../wire/message.ts';

/** Copies messages to a dead-letter queue. */
export class DeadLetters {
  readonly #context: DriverContext;
  readonly #wireFormat: SqsWireFormat;

  constructor(context: DriverContext, wireFormat: SqsWireFormat) {
    this.#context = context;
    this.#wireFormat = wireFormat;
  }

  /**
   * Resolves when the dead-letter queue has taken the copy.
   *
   * @param raw as it was received.
   * @param copy with the circumstances in its headers.
   */
  async copy(raw: ReceivedMessage, deadLetterQueue: string, copy: Message): Promise<void> {
    const send = (encoded: Encoded): Promise<void> =>
      this.#context.publish({ kind: 'queue', name: deadLetterQueue }, copy.id, withIds(encoded, raw));
    try {
      await send(this.#encode(raw, deadLetterQueue, copy));
    } catch (error) {
      if (!isMessageRefused(error)) throw error;
      this.#context.logger.warn('dead-lettered in an encoded form: the plain one is refused', {
        queue: deadLetterQueue,
        messageId: copy.id,
        reason: reasonOf(error),
      });
      // As text, and encoded, SQS takes everything.
      await send(encode(copy, 'melange', Number.POSITIVE_INFINITY, undefined, true));
    }
  }

  #encode(raw: ReceivedMessage, deadLetterQueue: string, copy: Message): Encoded {
    try {
      return encode(copy, this.#wireFormat, maxQueueBytes, typesOf(raw));
    } catch (error) {
      if (!MelangeError.is(error, 'MESSAGE_TOO_LARGE')) throw error;
      // It came in this size: without the circumstances it fits, and they are worth less than the message.
      this.#context.logger.warn('dead-lettered without its circumstances: there is no room for them', {
        queue: deadLetterQueue,
        messageId: copy.id,
        ...copy.headers,
      });
      const attributes = copyAttributes(raw.MessageAttributes);
      const ids = { groupId: copy.id, deduplicationId: '' };
      const outgoing = { body: raw.Body ?? '', attributes, bytes: maxQueueBytes, ...ids };
      return { outgoing, fallback: undefined };
    }
  }
}

/** The copy stays in its group, and has a deduplication id of its own. */
function withIds({ outgoing, fallback }: Encoded, raw: ReceivedMessage): Encoded {
  const withIds = (one: OutgoingMessage): OutgoingMessage => ({
    ...one,
    groupId: raw.Attributes?.MessageGroupId ?? one.groupId,
    deduplicationId: deadLetterDeduplicationId(raw),
  });
  return { outgoing: withIds(outgoing), fallback: fallback && (() => withIds(fallback())) };
}
