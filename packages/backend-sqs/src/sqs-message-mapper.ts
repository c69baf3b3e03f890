import { createHash } from 'node:crypto';
import { MelangeError, type Message, WireHeader, wireNumber } from '@melange/core';
import {
  type AttributeValue,
  fromAttributes,
  type OutgoingHeader,
  type ReceivedAttribute,
  sizeOfAttributes,
  toAttributes,
} from './message-attributes.ts';
import { encodingAttribute, fromBody, isKnownEncoding, toBody, unwrap } from './message-body.ts';
import type { SqsWireFormat } from './sqs-options.ts';

/** A message as both services take it. */
export interface OutgoingMessage {
  readonly body: string;
  readonly attributes: Record<string, AttributeValue>;
  /** What it counts for against the limits of size. */
  readonly bytes: number;
  /** For FIFO queues and topics: messages of a group keep their order. */
  readonly groupId: string;
  /** For FIFO queues and topics: within five minutes, a second one is taken and dropped. */
  readonly deduplicationId: string;
}

/** The part of a received message that is read. */
export interface ReceivedMessage {
  readonly MessageId?: string | undefined;
  readonly Body?: string | undefined;
  readonly MessageAttributes?: Readonly<Record<string, ReceivedAttribute>> | undefined;
  readonly Attributes?: Readonly<Partial<Record<string, string>>> | undefined;
}

const envelopeNames: ReadonlySet<string> = new Set([...Object.values(WireHeader), encodingAttribute]);

/**
 * @param mustEncode encodes also text that SQS should take: it refused it.
 * @throws MelangeError `UNSUPPORTED` for a tombstone.
 */
export function toSqs(message: Message, format: SqsWireFormat, mustEncode = false): OutgoingMessage {
  const { id, content, manifest, serializerId, publishedAt, key } = message;
  if (content === null)
    throw new MelangeError('UNSUPPORTED', 'SQS carries no tombstones: give the message content.');
  const { body, encoding } = toBody(content, format, mustEncode);
  const headers: OutgoingHeader[] = [];
  const add = (name: string, value: string | undefined): void => {
    if (value !== undefined) headers.push({ name, value });
  };
  const addNumber = (name: string, value: number | undefined): void => {
    if (value !== undefined) headers.push({ name, value: String(value), isNumber: true });
  };
  // In this order: what a filter of a topic or another library reads is never packed.
  add(WireHeader.manifest, manifest);
  addNumber(WireHeader.serializerId, serializerId);
  add(WireHeader.messageId, id);
  add(encodingAttribute, encoding);
  addNumber(WireHeader.publishedAt, publishedAt);
  add(WireHeader.key, key);
  for (const [name, value] of Object.entries(message.headers)) add(name, value);
  const attributes = toAttributes(headers);
  return {
    body,
    attributes,
    bytes: Buffer.byteLength(body) + sizeOfAttributes(attributes),
    groupId: token(key ?? id),
    deduplicationId: token(id),
  };
}

/** Never throws: what another client sent is taken as it is, under the broker's id where it has no other. */
export function fromSqs(received: ReceivedMessage): Message {
  const own = fromAttributes(received.MessageAttributes);
  const plain = own.has(encodingAttribute) && own.get(encodingAttribute) === 'text';
  const body = received.Body ?? '';
  const envelope = plain ? { text: body } : unwrap(body);
  const all = new Map([...fromAttributes(envelope.attributes), ...own]);
  const headers: Record<string, string> = {};
  for (const [name, value] of all) {
    // An encoding that a newer version made stays with the content: a copy of it is read where it is known.
    if (envelopeNames.has(name) && (name !== encodingAttribute || isKnownEncoding(value))) continue;
    Object.defineProperty(headers, name, { value, enumerable: true, configurable: true, writable: true });
  }
  const isOurs = all.has(WireHeader.messageId);
  return {
    id: all.get(WireHeader.messageId) ?? envelope.messageId ?? received.MessageId ?? '',
    content: fromBody(envelope.text, all.get(encodingAttribute)),
    manifest: all.get(WireHeader.manifest),
    serializerId: wireNumber(all.get(WireHeader.serializerId)),
    // Without a key our own messages have a group of their own, which means nothing.
    key: all.get(WireHeader.key) ?? (isOurs ? undefined : received.Attributes?.MessageGroupId),
    headers,
    publishedAt: wireNumber(all.get(WireHeader.publishedAt)),
  };
}

/** Times that the message was received, this time included. */
export function attemptOf({ Attributes }: ReceivedMessage): number {
  const count = Number(Attributes?.ApproximateReceiveCount);
  return Number.isSafeInteger(count) && count > 0 ? count : 1;
}

/**
 * Deduplication id of a dead-lettered copy: the same whenever this delivery is dead-lettered, so that a copy sent
 * twice is one; another for each delivery, so that a message that comes here again within five minutes is not
 * taken for its earlier copy and lost.
 */
export function deadLetterDeduplicationId(received: ReceivedMessage): string {
  return hash(`${received.MessageId}:${attemptOf(received)}:dead-letter`);
}

/** Group and deduplication ids are of 128 characters at most, letters, digits and punctuation. */
function token(text: string): string {
  return /^[\x21-\x7e]{1,128}$/.test(text) ? text : hash(text);
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
