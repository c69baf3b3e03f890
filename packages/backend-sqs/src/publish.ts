import type { BatchAnswer, BatchLimits, Destination, Outgoing, PublishDriver } from '@melange/backend-kit';
import { MelangeError, type Message } from '@melange/core';
import { maxEntries, maxQueueBytes } from './client/batch.ts';
import type { Sns } from './client/sns.ts';
import type { Sqs } from './client/sqs.ts';
import { codeOf, isMessageRefused, isMissingQueue, isMissingTopic } from './errors.ts';
import type { SqsWireFormat } from './options.ts';
import { isFifo } from './topology/names.ts';
import type { Queues } from './topology/queues.ts';
import type { Topics } from './topology/topics.ts';
import { withCarriableContent } from './wire/body.ts';
import { type Encoded, encode } from './wire/encoded.ts';

/** Longest delay that SQS takes with a message, in ms. */
const maxDelayMs = 900_000;
/** Requests of one destination at the same time: enough to hide their latency, few enough to fill batches. */
const maxRequests = 16;

/** How messages are published. */
export interface PublishingSettings {
  readonly sqs: Sqs;
  readonly sns: () => Promise<Sns>;
  readonly queues: Queues;
  readonly topics: Topics;
  readonly wireFormat: SqsWireFormat;
  readonly lingerMs: number;
  readonly maxTopicBytes: number;
}

/** Publishes to queues and topics. */
export class Publishing implements PublishDriver<Encoded> {
  readonly #settings: PublishingSettings;

  constructor(settings: PublishingSettings) {
    this.#settings = settings;
  }

  encode(message: Message, { kind }: Destination): Encoded {
    const { wireFormat, maxTopicBytes } = this.#settings;
    if (kind === 'queue') return encode(message, wireFormat, maxQueueBytes);
    // The Python library reads the content of a topic's message as it is.
    const carriable = wireFormat === 'python-melange' ? withCarriableContent(message) : message;
    return encode(carriable, 'melange', maxTopicBytes);
  }

  bytesOf({ outgoing }: Encoded): number {
    return outgoing.bytes;
  }

  limitsOf({ kind, name }: Destination): BatchLimits {
    const { lingerMs, maxTopicBytes } = this.#settings;
    return {
      maxMessages: maxEntries,
      maxBytes: kind === 'queue' ? maxQueueBytes : maxTopicBytes,
      // What follows must not overtake what is sent again.
      maxUnderWay: isFifo(name) ? 1 : maxRequests,
      lingerMs,
    };
  }

  checkDelay({ name }: Destination, delayMs: number): void {
    if (isFifo(name))
      throw new MelangeError(
        'UNSUPPORTED',
        `"${name}" is a FIFO queue, which delays no single message: publish without delayMs.`,
      );
    if (delayMs <= maxDelayMs) return;
    throw new MelangeError(
      'UNSUPPORTED',
      `SQS delays by 900,000 ms at most, not ${delayMs}: publish later, or retry with a delay, up to 12 hours.`,
    );
  }

  async send(
    destination: Destination,
    batch: readonly Outgoing<Encoded>[],
    signal: AbortSignal,
  ): Promise<BatchAnswer> {
    try {
      return await this.#sendTogether(destination, batch, signal);
    } catch (error) {
      if (!isMessageRefused(error)) throw error;
      if (batch.length === 1) return [error];
      // Alone, each one shows whether it was the reason.
      const answers: unknown[] = [];
      for (const one of batch) {
        const answer = await this.send(destination, [one], signal).catch((reason: unknown) => [reason]);
        answers.push(answer?.[0]);
      }
      return answers;
    }
  }

  async #sendTogether(
    destination: Destination,
    batch: readonly Outgoing<Encoded>[],
    signal: AbortSignal,
  ): Promise<BatchAnswer> {
    const { sqs, sns, queues, topics } = this.#settings;
    const { kind, name } = destination;
    try {
      const answer =
        kind === 'queue'
          ? await sqs.send(await queues.urlOf(name), entriesOf(batch, name, 'MessageBody'), signal)
          : await (await sns()).publish(await topics.arnOf(name), entriesOf(batch, name, 'Message'), signal);
      return answer?.map((error, place) => withFallback((batch[place] as Outgoing<Encoded>).encoded, error));
    } catch (error) {
      if (isMissingQueue(error)) queues.forget(name);
      if (isMissingTopic(error)) topics.forget(name);
      throw error;
    }
  }
}

/** Entries of a batch, of which the body has another name for each service. */
function entriesOf<Body extends 'Message' | 'MessageBody'>(
  batch: readonly Outgoing<Encoded>[],
  name: string,
  bodyName: Body,
) {
  return batch.map(({ encoded: { outgoing }, delayMs }, place) => {
    const { body, attributes, groupId, deduplicationId } = outgoing;
    return {
      Id: String(place),
      ...({ [bodyName]: body } as Record<Body, string>),
      MessageAttributes: attributes,
      ...(delayMs > 0 && { DelaySeconds: Math.ceil(delayMs / 1_000) }),
      ...(isFifo(name) && { MessageGroupId: groupId, MessageDeduplicationId: deduplicationId }),
    };
  });
}

/** The error of a message; one whose characters were refused is encoded, and sent again. */
function withFallback(encoded: Encoded, error: unknown): unknown {
  if (codeOf(error) !== 'InvalidMessageContents' || encoded.fallback === undefined) return error;
  const outgoing = encoded.fallback();
  Object.assign(encoded, { outgoing, fallback: undefined });
  return Object.assign(new Error(String(error)), { name: 'RequestThrottled' });
}
