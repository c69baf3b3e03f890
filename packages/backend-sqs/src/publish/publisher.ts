import { PublishBatchCommand } from '@aws-sdk/client-sns';
import { SendMessageBatchCommand } from '@aws-sdk/client-sqs';
import type { Troubles } from '@melange/backend-kit';
import { MelangeError, type Message, MessageTooLargeError } from '@melange/core';
import { Batcher, type EntryFailure } from '../client/batcher.ts';
import type { AwsClients } from '../client/clients.ts';
import {
  asMelangeError,
  isEntryRefused,
  isMissingQueue,
  isMissingTopic,
  isTransient,
  isTransientEntry,
  reasonOf,
} from '../errors.ts';
import type { SqsWireFormat } from '../options.ts';
import { type OutgoingMessage, toSqs } from '../wire/message.ts';

/** Most bytes of a message and of a batch to a queue. */
export const maxQueueBytes = 1_048_576;

/** A message on its way, encoded otherwise when SQS refuses its characters. */
export interface Envelope {
  outgoing: OutgoingMessage;
  /** The same with its text encoded; `undefined` when it is already. */
  encoded: (() => OutgoingMessage) | undefined;
  readonly delaySeconds: number | undefined;
}

/** What an address is: where requests go, and whether order matters there. */
export interface Destination {
  readonly kind: 'queue' | 'topic';
  readonly name: string;
  /** URL of a queue, ARN of a topic. */
  readonly address: string;
  readonly isFifo: boolean;
}

interface FailedEntry {
  readonly Id?: string | undefined;
  readonly Code?: string | undefined;
  readonly Message?: string | undefined;
  readonly SenderFault?: boolean | undefined;
}

/** How a publisher batches. */
export interface PublisherSettings {
  readonly lingerMs: number;
  readonly maxTopicBytes: number;
  readonly troubles: Troubles;
}

/** A destination in trouble is of interest for so long after the last try, in ms: whoever published was told. */
const forgottenAfterMs = 60_000;

/** Requests of one destination at the same time: enough to hide their latency, few enough to fill batches. */
const maxRequests = 16;

/** Publishes to queues and topics, whoever publishes at the same time sharing requests. */
export class SqsPublisher {
  readonly #clients: AwsClients;
  readonly #settings: PublisherSettings;
  readonly #batchers = new Map<string, Batcher<Envelope>>();

  constructor(clients: AwsClients, settings: PublisherSettings) {
    this.#clients = clients;
    this.#settings = settings;
  }

  /**
   * Resolves when SQS or SNS has taken the message.
   *
   * @throws what SQS or SNS answered, or MelangeError `PUBLISH_TIMEOUT` after `timeoutMs`.
   */
  publish(destination: Destination, envelope: Envelope, timeoutMs: number): Promise<void> {
    const { address } = destination;
    let batcher = this.#batchers.get(address);
    if (batcher === undefined) {
      batcher = this.#batcherOf(destination);
      this.#batchers.set(address, batcher);
    }
    return batcher.add(envelope, timeoutMs);
  }

  /** Waits for what is under way, up to its deadlines. */
  async close(): Promise<void> {
    await Promise.all([...this.#batchers.values()].map((batcher) => batcher.drain()));
  }

  /** Runs a request to a destination, for so many messages. */
  async #watched(
    { kind, name }: Destination,
    count: number,
    send: () => Promise<EntryFailure[]>,
  ): Promise<EntryFailure[]> {
    const { troubles } = this.#settings;
    const subject = `publishing to ${kind} "${name}"`;
    const fail = (error: unknown): void => {
      troubles.begin(subject, reasonOf(error));
      troubles.rest(subject, forgottenAfterMs);
    };
    try {
      const failures = await send();
      const transient = failures.find(({ isTransient }) => isTransient);
      if (failures.length < count) troubles.end(subject);
      else if (transient !== undefined) fail(transient.error);
      return failures;
    } catch (error) {
      // A message that is refused is in trouble itself, and what is missing is nobody's destination.
      if (!isEntryRefused(error) && !isMissingQueue(error) && !isMissingTopic(error)) fail(error);
      throw error;
    }
  }

  #batcherOf(destination: Destination): Batcher<Envelope> {
    const { kind, address, isFifo } = destination;
    const clients = this.#clients;
    const { sqs, sns, requestTimeoutMs } = clients;
    const isQueue = kind === 'queue';
    return new Batcher<Envelope>({
      send: async (envelopes, abortSignal) => {
        if (isQueue) {
          const Entries = envelopes.map(
            ({ outgoing: { body, attributes, ...ids }, delaySeconds }, index) => ({
              Id: String(index),
              MessageBody: body,
              MessageAttributes: attributes,
              ...(delaySeconds !== undefined && { DelaySeconds: delaySeconds }),
              ...(isFifo && fifoFields(ids)),
            }),
          );
          const command = new SendMessageBatchCommand({ QueueUrl: address, Entries });
          return this.#watched(destination, envelopes.length, async () => {
            const { Failed } = await sqs.send(clients.abortable(command, abortSignal));
            return failuresOf(envelopes, Failed);
          });
        }
        const PublishBatchRequestEntries = envelopes.map(
          ({ outgoing: { body, attributes, ...ids } }, index) => ({
            Id: String(index),
            Message: body,
            MessageAttributes: attributes,
            ...(isFifo && fifoFields(ids)),
          }),
        );
        const command = new PublishBatchCommand({ TopicArn: address, PublishBatchRequestEntries });
        return this.#watched(destination, envelopes.length, async () => {
          const { Failed } = await sns.send(clients.abortable(command, abortSignal));
          return failuresOf(envelopes, Failed);
        });
      },
      isTransient,
      isEntryAtFault: (error) => !isMissingQueue(error) && !isMissingTopic(error),
      timeoutError: (timeoutMs, lastError) => {
        const why = lastError === undefined ? '' : ` (${reasonOf(lastError)})`;
        const text = `${isQueue ? 'SQS' : 'SNS'} did not take the message within ${timeoutMs} ms${why}.`;
        return new MelangeError('PUBLISH_TIMEOUT', text, { cause: lastError });
      },
      sizeOf: ({ outgoing }) => outgoing.bytes,
      maxBytes: isQueue ? maxQueueBytes : this.#settings.maxTopicBytes,
      lingerMs: this.#settings.lingerMs,
      requestTimeoutMs,
      // What follows must not overtake what is sent again.
      maxRequests: isFifo ? 1 : maxRequests,
    });
  }
}

/** @throws MelangeError `UNSUPPORTED`, MessageTooLargeError. */
export function envelopeOf(
  message: Message,
  format: SqsWireFormat,
  maxBytes: number,
  delaySeconds?: number,
  types?: ReadonlyMap<string, string>,
): Envelope {
  const outgoing = toSqs(message, format, false, types);
  assertSize(outgoing, maxBytes);
  // A copy: its owner may change it while it waits.
  const original = { ...message, headers: { ...message.headers } };
  const encoded = (): OutgoingMessage => toSqs(original, 'melange', true, types);
  const isText = typeof message.content === 'string' && format === 'melange';
  return { outgoing, encoded: isText ? encoded : undefined, delaySeconds };
}

/** @throws MessageTooLargeError */
export function assertSize({ bytes }: OutgoingMessage, maxBytes: number): void {
  if (bytes <= maxBytes) return;
  throw new MessageTooLargeError(
    `The message has ${bytes} bytes with its attributes; ${maxBytes} can be sent. Binary content counts four thirds.`,
  );
}

function fifoFields(ids: Pick<OutgoingMessage, 'groupId' | 'deduplicationId'>) {
  return { MessageGroupId: ids.groupId, MessageDeduplicationId: ids.deduplicationId };
}

function failuresOf(envelopes: readonly Envelope[], failed: readonly FailedEntry[] = []): EntryFailure[] {
  return failed.map((entry) => {
    const index = Number(entry.Id);
    const envelope = envelopes[index];
    const reason = `${entry.Code}: ${entry.Message ?? 'no further reason'}`;
    if (entry.Code === 'InvalidMessageContents' && envelope?.encoded !== undefined) {
      envelope.outgoing = envelope.encoded();
      envelope.encoded = undefined;
      return { index, error: new Error(reason), isTransient: true };
    }
    const error = asMelangeError(Object.assign(new Error(reason), { name: entry.Code, $fault: 'client' }));
    return { index, error, isTransient: isTransientEntry(entry) };
  });
}
