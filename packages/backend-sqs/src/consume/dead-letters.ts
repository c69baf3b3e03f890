import type { Troubles } from '@melange/backend-kit';
import { type DeadLetterOptions, type Logger, MelangeError, type Message, PublishError } from '@melange/core';
import { deadLetterCopy } from '@melange/core/adapter';
import { asMelangeError, isEntryRefused } from '../errors.ts';
import type { SqsWireFormat } from '../options.ts';
import { type Envelope, envelopeOf, maxQueueBytes, type SqsPublisher } from '../publish/publisher.ts';
import { isFifo } from '../topology/names.ts';
import { deadLetterQueueOf } from '../topology/queue-settings.ts';
import type { SqsTopology } from '../topology/queues.ts';
import { copyAttributes } from '../wire/attributes.ts';
import {
  deadLetterDeduplicationId,
  fromSqs,
  type OutgoingMessage,
  type ReceivedMessage,
  toSqs,
  typesOf,
} from '../wire/message.ts';
import type { Held } from './held-messages.ts';

/** How copies are made. */
export interface DeadLetterSettings {
  readonly wireFormat: SqsWireFormat;
  readonly publishTimeoutMs: number;
  readonly logger: Logger;
  readonly troubles: Troubles;
}

/** Copies messages of one queue to its dead-letter queue. */
export class DeadLetters {
  readonly #queue: string;
  readonly #topology: SqsTopology;
  readonly #publisher: SqsPublisher;
  readonly #settings: DeadLetterSettings;
  #target: string | undefined;

  constructor(queue: string, topology: SqsTopology, publisher: SqsPublisher, settings: DeadLetterSettings) {
    this.#queue = queue;
    this.#topology = topology;
    this.#publisher = publisher;
    this.#settings = settings;
  }

  /** @throws MelangeError `CONFIGURATION` when the queue has no dead-letter queue. */
  async assertTarget(): Promise<void> {
    // What cannot be told now fails later, when the message can go back to its queue.
    const target = await this.targetName().catch(() => '');
    if (target !== undefined) return;
    const text = `Queue "${this.#queue}" has no dead-letter queue: declare it with one.`;
    throw new MelangeError('CONFIGURATION', text);
  }

  /** What is in trouble when copies cannot be made. */
  get trouble(): string {
    return `dead-lettering from queue "${this.#queue}"`;
  }

  /** Resolves when the dead-letter queue has taken the copy. */
  async copy(
    { received, counts }: Pick<Held, 'received' | 'counts'>,
    options: DeadLetterOptions,
  ): Promise<void> {
    const { troubles, publishTimeoutMs } = this.#settings;
    const target = await this.targetName();
    if (target === undefined) return this.assertTarget();
    const circumstances = { queue: this.#queue, attempts: counts.attempt, at: Date.now() };
    const message = deadLetterCopy(fromSqs(received), options, circumstances);
    try {
      const destination = {
        kind: 'queue',
        name: target,
        address: await this.#topology.urlOf(target),
        isFifo: isFifo(target),
      } as const;
      const send = (envelope: Envelope): Promise<void> =>
        this.#publisher.publish(destination, envelope, publishTimeoutMs);
      try {
        await send(this.#envelope(message, received));
      } catch (error) {
        if (!isEntryRefused(error)) throw error;
        // Whatever of it SQS does not take: as text, and encoded, it takes everything.
        await send(this.#plainEnvelope(message, received, error));
      }
      troubles.end(this.trouble);
    } catch (error) {
      this.#topology.forget(target);
      // The queue may have been given another one.
      this.#target = undefined;
      troubles.begin(this.trouble, `"${target}" takes no copy: ${asMelangeError(error).message}`);
      throw new PublishError(target, [{ messageId: message.id, error: asMelangeError(error) }]);
    }
  }

  /** Name of the dead-letter queue; it is asked for until there is one. */
  async targetName(): Promise<string | undefined> {
    this.#target ??= deadLetterQueueOf((await this.#topology.detailsOf(this.#queue)).attributes);
    return this.#target;
  }

  #envelope(message: Message, received: ReceivedMessage): Envelope {
    const { wireFormat, logger } = this.#settings;
    try {
      const envelope = envelopeOf(message, wireFormat, maxQueueBytes, undefined, typesOf(received));
      return this.#withIds(envelope, received);
    } catch (error) {
      if (!MelangeError.is(error, 'MESSAGE_TOO_LARGE')) throw error;
      // It came in this size: without the circumstances it fits, and they are worth less than the message.
      logger.warn('dead-lettered without its circumstances: there is no room for them', {
        queue: this.#queue,
        messageId: message.id,
        ...message.headers,
      });
      const outgoing = {
        body: received.Body ?? '',
        attributes: copyAttributes(received.MessageAttributes),
        bytes: maxQueueBytes,
        groupId: message.id,
        deduplicationId: '',
      };
      return this.#withIds({ outgoing, encoded: undefined, delaySeconds: undefined }, received);
    }
  }

  #plainEnvelope(message: Message, received: ReceivedMessage, error: unknown): Envelope {
    this.#settings.logger.warn('dead-lettered in an encoded form: the plain one is refused', {
      queue: this.#queue,
      messageId: message.id,
      reason: asMelangeError(error).message,
    });
    const outgoing = toSqs(message, 'melange', true);
    return this.#withIds({ outgoing, encoded: undefined, delaySeconds: undefined }, received);
  }

  #withIds({ outgoing, encoded, delaySeconds }: Envelope, received: ReceivedMessage): Envelope {
    const withIds = (one: OutgoingMessage): OutgoingMessage => ({
      ...one,
      groupId: received.Attributes?.MessageGroupId ?? one.groupId,
      deduplicationId: deadLetterDeduplicationId(received),
    });
    return { outgoing: withIds(outgoing), encoded: encoded && (() => withIds(encoded())), delaySeconds };
  }
}
