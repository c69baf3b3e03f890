import { isUtf8 } from 'node:buffer';
import { randomUUID } from 'node:crypto';
import { MelangeError, type Message, type MessageContent, WireHeader } from '@melange/core';
import type { Message as AmqpMessage, MessageProperties, Options } from 'amqplib';

/** A message as amqplib sends it. */
export interface OutgoingMessage {
  readonly content: Buffer;
  readonly options: Options.Publish & { readonly headers: Record<string, unknown> };
}

const binaryType = 'application/octet-stream';
const textType = 'text/plain; charset=utf-8';

/** Bytes; amqplib encodes headers in a buffer of 64 KiB, half of what a frame of the broker would take. */
const longestHeaders = 65_000;

/** Headers that the broker adds when it redelivers or dead-letters. */
const brokerHeaders = /^x-(death|first-death-|last-death-|delivery-count|acquired-count|opt-)/;

const envelope: ReadonlySet<string> = new Set(Object.values(WireHeader));

/**
 * By these the broker sends a message to further queues, and of another type than a list it closes the channel for
 * them: they travel under names of ours.
 */
const routingHeaders: readonly string[] = ['CC', 'BCC'];
const ourPrefix = 'melange_header_';

/**
 * @param attemptsMade carried by the copies that are retried; none on a first publication.
 * @throws MelangeError `UNSUPPORTED` for a tombstone.
 */
export function toAmqp(message: Message, attemptsMade?: number): OutgoingMessage {
  const { content } = message;
  if (content === null)
    throw new MelangeError('UNSUPPORTED', 'RabbitMQ carries no tombstones: give the message content.');
  const headers: Record<string, unknown> = { ...message.headers };
  for (const name of routingHeaders) {
    if (headers[name] === undefined) continue;
    headers[ourPrefix + name] = headers[name];
    delete headers[name];
  }
  headers[WireHeader.messageId] = message.id;
  if (message.manifest !== undefined) headers[WireHeader.manifest] = message.manifest;
  if (message.serializerId !== undefined) headers[WireHeader.serializerId] = message.serializerId;
  if (message.publishedAt !== undefined) headers[WireHeader.publishedAt] = message.publishedAt;
  if (message.key !== undefined) headers[WireHeader.key] = message.key;
  if (attemptsMade !== undefined) headers[WireHeader.attempt] = attemptsMade;
  assertHeaderSize(headers);
  const isText = typeof content === 'string';
  return {
    // A copy: the message may wait here for a connection while its owner reuses the bytes.
    content: isText ? Buffer.from(content, 'utf8') : Buffer.from(content),
    options: {
      persistent: true,
      messageId: shortString(message.id),
      contentType: isText ? textType : binaryType,
      headers,
    },
  };
}

/** What another client may have set, and the reader of a copy may need: how to read the content, and whom to answer. */
const foreignProperties = [
  'contentType',
  'contentEncoding',
  'correlationId',
  'replyTo',
  'type',
  'appId',
  'timestamp',
  'priority',
] as const;

/** A copy of what was received with these properties, to be retried or dead-lettered; else as `toAmqp`. */
export function toAmqpCopy(
  message: Message,
  received: MessageProperties,
  attemptsMade?: number,
): OutgoingMessage {
  const { content, options } = toAmqp(message, attemptsMade);
  const kept: Record<string, unknown> = {};
  for (const name of foreignProperties) if (received[name] !== undefined) kept[name] = received[name];
  return { content, options: { ...options, ...kept } };
}

/** Routing key of a manifest, the same for bindings, in which the wildcards of topic exchanges mean themselves. */
export function routingKeyOf(manifest: string | undefined): string {
  const literal = (manifest ?? '').replace(/[%*#]/g, (sign) => `%${sign.charCodeAt(0).toString(16)}`);
  // AMQP 0-9-1 carries keys as short strings, of 255 bytes at most.
  return Buffer.from(literal, 'utf8')
    .subarray(0, 255)
    .toString('latin1')
    .replace(/[^\x20-\x7e]/g, '?');
}

/** Never throws: what another client sent is taken as it is. A foreign message without any id gets a new one at each delivery. */
export function fromAmqp({ content, properties }: AmqpMessage): Message {
  const received: Record<string, unknown> = properties.headers ?? {};
  const headers: Record<string, string> = {};
  for (const name of Object.keys(received)) {
    if (envelope.has(name) || (name.startsWith('x-') && brokerHeaders.test(name))) continue;
    headers[ownName(name)] = textOf(received[name]);
  }
  const text = (name: string): string | undefined =>
    received[name] === undefined || received[name] === null ? undefined : textOf(received[name]);
  const number = (name: string): number | undefined =>
    typeof received[name] === 'number' ? finite(received[name]) : numberOf(text(name));
  return {
    id: text(WireHeader.messageId) ?? properties.messageId ?? randomUUID(),
    content: contentOf(content, properties.contentType),
    manifest: text(WireHeader.manifest),
    serializerId: number(WireHeader.serializerId),
    key: text(WireHeader.key),
    headers,
    publishedAt: number(WireHeader.publishedAt),
  };
}

/** The name that a header had before it was sent. */
function ownName(name: string): string {
  if (!name.startsWith(ourPrefix)) return name;
  const own = name.slice(ourPrefix.length);
  return routingHeaders.includes(own) ? own : name;
}

/**
 * Attempts made before, as written on a retried copy, plus redeliveries counted by the broker, plus this one.
 * Quorum queues count redeliveries; classic ones only tell whether there was any.
 */
export function attemptOf({ fields, properties }: AmqpMessage): number {
  const headers: Record<string, unknown> = properties.headers ?? {};
  const made = Number(headers[WireHeader.attempt] ?? 0);
  const counted = headers['x-delivery-count'];
  const redeliveries = typeof counted === 'number' ? counted : Number(fields.redelivered);
  return (Number.isSafeInteger(made) && made > 0 ? made : 0) + redeliveries + 1;
}

/** AMQP's properties take 255 bytes; the header of the same meaning has the whole text. */
function shortString(text: string): string {
  if (text.length <= 85) return text;
  if (Buffer.byteLength(text) <= 255) return text;
  return Buffer.from(text)
    .subarray(0, 252)
    .toString('utf8')
    .replace(/\uFFFD+$/, '');
}

/** Said before amqplib says it: with the code that means it, and naming the limit. */
function assertHeaderSize(headers: Readonly<Record<string, unknown>>): void {
  let characters = 0;
  for (const name in headers) characters += name.length + String(headers[name]).length + 8;
  // None takes more than three bytes: most headers are not counted any further.
  if (characters * 3 <= longestHeaders) return;
  let bytes = 0;
  for (const name in headers) bytes += Buffer.byteLength(name) + Buffer.byteLength(String(headers[name])) + 8;
  if (bytes <= longestHeaders) return;
  throw new MelangeError(
    'MESSAGE_TOO_LARGE',
    `The headers have ${bytes} bytes; RabbitMQ takes ${longestHeaders}.`,
  );
}

function contentOf(content: Buffer, contentType: unknown): MessageContent {
  if (contentType === binaryType) return Uint8Array.from(content);
  return isUtf8(content) ? content.toString('utf8') : Uint8Array.from(content);
}

function numberOf(text: string | undefined): number | undefined {
  return finite(text === undefined || text.trim() === '' ? Number.NaN : Number(text));
}

function finite(number: number): number | undefined {
  return Number.isFinite(number) ? number : undefined;
}

function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  if (Buffer.isBuffer(value)) return value.toString('utf8');
  if (typeof value !== 'object' || value === null) return String(value);
  return JSON.stringify(value, (_, inner) => (typeof inner === 'bigint' ? String(inner) : inner));
}
