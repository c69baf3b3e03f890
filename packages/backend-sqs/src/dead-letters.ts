import {
  type DeadLetterOptions,
  deadLetterCopy,
  type Logger,
  MelangeError,
  PublishError,
} from '@melange/core';
import {
  attemptOf,
  deadLetterDeduplicationId,
  fromSqs,
  type OutgoingMessage,
  type ReceivedMessage,
} from './sqs-message-mapper.ts';
import type { SqsWireFormat } from './sqs-options.ts';
import { type Envelope, envelopeOf, maxQueueBytes, type SqsPublisher } from './sqs-publisher.ts';
import { deadLetterQueueOf, isFifo, type SqsTopology } from './sqs-topology.ts';

/** How copies are made. */
export interface DeadLetterSettings {
  readonly wireFormat: SqsWireFormat;
  readonly publishTimeoutMs: number;
  readonly logger: Logger;
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
    const target = await this.#targetName().catch(() => '');
    if (target !== undefined) return;
    const text = `Queue "${this.#queue}" has no dead-letter queue: declare it with one.`;
    throw new MelangeError('CONFIGURATION', text);
  }

  /** Resolves when the dead-letter queue has taken the copy. */
  async copy(received: ReceivedMessage, options: DeadLetterOptions): Promise<void> {
    const target = await this.#targetName();
    if (target === undefined) return this.assertTarget();
    const destination = {
      kind: 'queue',
      address: await this.#topology.urlOf(target),
      isFifo: isFifo(target),
    } as const;
    try {
      await this.#publisher.publish(
        destination,
        this.#envelope(received, options),
        this.#settings.publishTimeoutMs,
      );
    } catch (error) {
      this.#topology.forget(target);
      throw new PublishError(target, [{ messageId: fromSqs(received).id, error }]);
    }
  }

  async #targetName(): Promise<string | undefined> {
    this.#target ??= deadLetterQueueOf(await this.#topology.detailsOf(this.#queue));
    return this.#target;
  }

  #envelope(received: ReceivedMessage, options: DeadLetterOptions): Envelope {
    const circumstances = { queue: this.#queue, attempts: attemptOf(received), at: Date.now() };
    const message = deadLetterCopy(fromSqs(received), options, circumstances);
    const withIds = (outgoing: OutgoingMessage): OutgoingMessage => ({
      ...outgoing,
      groupId: received.Attributes?.MessageGroupId ?? outgoing.groupId,
      deduplicationId: deadLetterDeduplicationId(received),
    });
    try {
      const { outgoing, encoded, delaySeconds } = envelopeOf(
        message,
        this.#settings.wireFormat,
        maxQueueBytes,
      );
      return {
        outgoing: withIds(outgoing),
        encoded: encoded && (() => withIds(encoded())),
        delaySeconds,
      };
    } catch (error) {
      if (!MelangeError.is(error, 'MESSAGE_TOO_LARGE')) throw error;
      // It came in this size: without the circumstances it fits, and they are worth less than the message.
      this.#settings.logger.warn('dead-lettered without its circumstances: there is no room for them', {
        queue: this.#queue,
        messageId: message.id,
        ...message.headers,
      });
      const attributes = (received.MessageAttributes ?? {}) as OutgoingMessage['attributes'];
      const outgoing = { body: received.Body ?? '', attributes, bytes: maxQueueBytes, groupId: message.id };
      return {
        outgoing: withIds({ ...outgoing, deduplicationId: '' }),
        encoded: undefined,
        delaySeconds: undefined,
      };
    }
  }
}
