import { createHash } from 'node:crypto';
import { MelangeError, type Message, WireHeader } from '@melange/core';
import { wireNumber } from '@melange/core/adapter';
import type { SqsWireFormat } from '../options.ts';
import {
  type AttributeValue,
  fromAttributes,
  type IncomingHeader,
  isForeign,
  type OutgoingHeader,
  type ReceivedAttribute,
  sizeOfAttributes,
  toAttributes,
} from './attributes.ts';
import { encodingAttribute, fromBody, isKnownEncoding, type ReceivedBody, toBody, unwrap } from './body.ts';

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
 * @param types types of headers that are not text, by name, for a copy of what another client sent.
 * @throws MelangeError `UNSUPPORTED` for a tombstone.
 */
export function toSqs(
  message: Message,
  format: SqsWireFormat,
  mustEncode = false,
  types?: ReadonlyMap<string, string>,
): OutgoingMessage {
  const { id, content, manifest, serializerId, publishedAt, key } = message;
  if (content === null)
    throw new MelangeError('UNSUPPORTED', 'SQS carries no tombstones: give the message content.');
  const { body, encoding } = toBody(content, format, mustEncode);
  const headers: OutgoingHeader[] = [];
  const add = (name: string, value: string | undefined): void => {
    if (value !== undefined) headers.push({ name, value });
  };
  const addNumber = (name: string, value: number | undefined): void => {
    if (value !== undefined) headers.push({ name, value: String(value), dataType: 'Number' });
  };
  // In this order: what a filter of a topic or another library reads is never packed.
  add(WireHeader.manifest, manifest);
  addNumber(WireHeader.serializerId, serializerId);
  add(WireHeader.messageId, id);
  add(encodingAttribute, encoding);
  addNumber(WireHeader.publishedAt, publishedAt);
  add(WireHeader.key, key);
  for (const [name, value] of Object.entries(message.headers))
    headers.push({ name, value, dataType: types?.get(name) });
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
  const { all, envelope } = open(received);
  const headers: Record<string, string> = {};
  for (const [name, { value }] of all) {
    if (isOfEnvelope(name, value)) continue;
    Object.defineProperty(headers, name, { value, enumerable: true, configurable: true, writable: true });
  }
  const text = (name: string): string | undefined => all.get(name)?.value;
  // An empty id is none: all messages that have it would be taken for one.
  const ownId = text(WireHeader.messageId) || undefined;
  return {
    id: ownId ?? (envelope.messageId || received.MessageId || ''),
    content: fromBody(envelope.text, text(encodingAttribute)),
    manifest: text(WireHeader.manifest),
    serializerId: wireNumber(text(WireHeader.serializerId)),
    // Without a key our own messages have a group of their own, which means nothing.
    key: text(WireHeader.key) ?? (ownId === undefined ? received.Attributes?.MessageGroupId : undefined),
    headers,
    publishedAt: wireNumber(text(WireHeader.publishedAt)),
  };
}

/** Types of the headers that were not sent as plain text, by name: a copy keeps them. */
export function typesOf(received: ReceivedMessage): ReadonlyMap<string, string> {
  const types = new Map<string, string>();
  for (const [name, { value, dataType }] of open(received).all)
    if (isForeign(dataType) && !isOfEnvelope(name, value)) types.set(name, dataType);
  return types;
}

function open(received: ReceivedMessage): {
  readonly all: ReadonlyMap<string, IncomingHeader>;
  readonly envelope: ReceivedBody;
} {
  const own = fromAttributes(received.MessageAttributes);
  const body = received.Body ?? '';
  const envelope = own.get(encodingAttribute)?.value === 'text' ? { text: body } : unwrap(body);
  if (envelope.attributes === undefined) return { all: own, envelope };
  return { all: new Map([...fromAttributes(envelope.attributes), ...own]), envelope };
}

/** An encoding that a newer version made stays with the content: a copy of it is read where it is known. */
function isOfEnvelope(name: string, value: string): boolean {
  return envelopeNames.has(name) && (name !== encodingAttribute || isKnownEncoding(value));
}

/** Times that SQS has handed the message out, this time included. */
export function receivesOf({ Attributes }: ReceivedMessage): number {
  const count = Number(Attributes?.ApproximateReceiveCount);
  return Number.isSafeInteger(count) && count > 0 ? count : 1;
}

/** Whether this message of a group comes before the other one; SQS numbers those of a FIFO queue, in up to 128 bits. */
export function isBefore(one: ReceivedMessage, other: ReceivedMessage): boolean {
  const [before, after] = [one.Attributes?.SequenceNumber ?? '', other.Attributes?.SequenceNumber ?? ''];
  if (!/^\d+$/.test(before) || !/^\d+$/.test(after)) return false;
  return BigInt(before) < BigInt(after);
}

/**
 * Deduplication id of a dead-lettered copy: the same whenever this delivery is dead-lettered, so that a copy sent
 * twice is one; another for each delivery, so that a message that comes here again within five minutes is not
 * taken for its earlier copy and lost.
 */
export function deadLetterDeduplicationId(received: ReceivedMessage): string {
  return hash(`${received.MessageId}:${receivesOf(received)}:dead-letter`);
}

/** Group and deduplication ids are of 128 characters at most, letters, digits and punctuation. */
function token(text: string): string {
  return /^[\x21-\x7e]{1,128}$/.test(text) ? text : hash(text);
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
