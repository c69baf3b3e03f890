import { isUtf8 } from 'node:buffer';
import { randomUUID } from 'node:crypto';
import { MelangeError, type Message, type MessageContent, WireHeader, wireNumber } from '@melange/core';
import type { Message as AmqpMessage, Options } from 'amqplib';
import { bytesOfCharacter } from './amqp-encoding.ts';
import { type ForeignProperties, foreignProperties } from './foreign-properties.ts';
import { rabbitMqCapabilities } from './rabbitmq-capabilities.ts';

/** A message as it is sent: nothing of it changes when its owner changes what it was made of. */
export interface OutgoingMessage {
  readonly id: string;
  /** The id, as far as a property has room for it. */
  readonly messageId: string;
  readonly content: string | Buffer;
  readonly contentType: string;
  readonly manifest: string | undefined;
  readonly serializerId: number | undefined;
  readonly publishedAt: number | undefined;
  readonly key: string | undefined;
  /** Attempts made before, on a copy that is retried. */
  readonly attempt: number | undefined;
  /** The application's headers: names, as they are on the wire, and values by turns. */
  readonly headers: readonly unknown[];
  /** What a copy of a foreign message keeps of its properties. */
  readonly foreign: ForeignProperties | undefined;
  /** Bytes that headers and properties take at most. */
  readonly longestEnvelope: number;
}

/** What the broker delivered, whatever the handler did to its copy. */
export interface Original {
  readonly message: Message;
  readonly foreign: ForeignProperties | undefined;
}

/** What the broker delivered, as it was read. */
export interface Received {
  /** Number of the delivery on its channel. */
  readonly tag: number;
  readonly message: Message;
  /** From 1. */
  readonly attempt: number;
  original(): Original;
}

/** Content types of bytes and of text. */
export const binaryType = 'application/octet-stream';
export const textType = 'text/plain; charset=utf-8';

/** Bytes; amqplib encodes headers in a buffer of 64 KiB, half of what a frame of the broker would take. */
const longestHeaders = 65_000;
/** Most that a header takes besides its text, or without any. */
const bytesOfHeader = 16;
/** More than the names and numbers of the envelope and of properties take. */
const bytesOfNames = 512;

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
 * @throws MelangeError `UNSUPPORTED` for a tombstone, `MESSAGE_TOO_LARGE` for headers.
 */
export function toAmqp(
  message: Message,
  attemptsMade?: number,
  foreign?: ForeignProperties,
): OutgoingMessage {
  const { id, content, manifest, serializerId, publishedAt, key } = message;
  if (content === null)
    throw new MelangeError('UNSUPPORTED', 'RabbitMQ carries no tombstones: give the message content.');
  const isText = typeof content === 'string';
  const headers = headersOf(message.headers);
  return {
    id,
    messageId: shortText(id),
    // A copy: the message may wait here for a connection while its owner reuses the bytes.
    content: isText ? content : Buffer.from(content),
    contentType: isText ? textType : binaryType,
    manifest,
    serializerId,
    publishedAt,
    key,
    attempt: attemptsMade,
    headers,
    foreign,
    longestEnvelope: envelopeSize(message, headers, foreign),
  };
}

/** @throws MelangeError `MESSAGE_TOO_LARGE` when the content is larger than `rabbitMqCapabilities.maxMessageBytes`. */
export function assertSize(content: MessageContent | null): void {
  const { maxMessageBytes } = rabbitMqCapabilities;
  // A character takes three bytes at most: most texts are not counted any further.
  if (content === null || content.length * 3 <= maxMessageBytes) return;
  const bytes = Buffer.byteLength(content);
  if (bytes <= maxMessageBytes) return;
  throw new MelangeError(
    'MESSAGE_TOO_LARGE',
    `The content has ${bytes} bytes; RabbitMQ takes ${maxMessageBytes}.`,
  );
}

/** For what is made into an outgoing message only later, while its owner may change it. */
export function copyMessage(message: Message): Message {
  const { content, headers } = message;
  const own = content instanceof Uint8Array ? Uint8Array.from(content) : content;
  return { ...message, content: own, headers: { ...headers } };
}

const noHeaders: readonly unknown[] = [];

function headersOf(own: Readonly<Record<string, unknown>>): readonly unknown[] {
  const names = Object.keys(own);
  if (names.length === 0) return noHeaders;
  const headers: unknown[] = [];
  for (const name of names) {
    if (own[name] === undefined || envelope.has(name)) continue;
    headers.push(routingHeaders.includes(name) ? ourPrefix + name : name, own[name]);
  }
  return headers;
}

/** As amqplib's `publish` takes them. */
export function publishOptions(outgoing: OutgoingMessage): Options.Publish {
  const { id, messageId, contentType, manifest, serializerId, publishedAt, key, attempt, foreign } = outgoing;
  const headers: Record<string, unknown> = {};
  for (let index = 0; index < outgoing.headers.length; index += 2) {
    headers[String(outgoing.headers[index])] = outgoing.headers[index + 1];
  }
  headers[WireHeader.messageId] = id;
  headers[WireHeader.manifest] = manifest;
  headers[WireHeader.serializerId] = serializerId;
  headers[WireHeader.publishedAt] = publishedAt;
  headers[WireHeader.key] = key;
  headers[WireHeader.attempt] = attempt;
  return { persistent: true, messageId, contentType, headers, ...foreign };
}

/** Printable, of 255 characters at most, without the wildcards and the sign that stands for them. */
const meansItself = /^[ -"$&-),-~+]{0,255}$/;

/** Routing key of a manifest, the same for bindings, in which the wildcards of topic exchanges mean themselves. */
export function routingKeyOf(manifest: string | undefined): string {
  if (manifest !== undefined && meansItself.test(manifest)) return manifest;
  const literal = (manifest ?? '').replace(/[%*#]/g, (sign) => `%${sign.charCodeAt(0).toString(16)}`);
  // AMQP 0-9-1 carries keys as short strings, of 255 bytes at most.
  return Buffer.from(literal, 'utf8')
    .subarray(0, 255)
    .toString('latin1')
    .replace(/[^\x20-\x7e]/g, '?');
}

/** What amqplib read. */
export function receivedOf(delivered: AmqpMessage): Received {
  const message = fromAmqp(delivered);
  return {
    tag: delivered.fields.deliveryTag,
    message,
    attempt: attemptOf(delivered),
    // A foreign message without an id has the one that it was given.
    original: () => ({
      message: { ...fromAmqp(delivered), id: message.id },
      foreign: foreignProperties(delivered.properties),
    }),
  };
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
    wireNumber(typeof received[name] === 'number' ? received[name] : text(name));
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
function shortText(text: string): string {
  if (text.length <= 85) return text;
  if (Buffer.byteLength(text) <= 255) return text;
  return Buffer.from(text)
    .subarray(0, 252)
    .toString('utf8')
    .replace(/\uFFFD+$/, '');
}

/**
 * What headers and properties take at most.
 *
 * @throws MelangeError `MESSAGE_TOO_LARGE`, with the code that means it and naming the limit.
 */
function envelopeSize(
  { id, manifest = '', key = '' }: Message,
  headers: readonly unknown[],
  foreign: ForeignProperties | undefined,
): number {
  let characters = 2 * id.length + manifest.length + key.length;
  for (const text of headers) characters += String(text).length;
  if (foreign !== undefined) for (const value of Object.values(foreign)) characters += String(value).length;
  const longest = bytesOfNames + headers.length * bytesOfHeader + characters * bytesOfCharacter;
  // Most messages are not counted any further.
  if (longest <= longestHeaders) return longest;
  let bytes = 0;
  for (const text of [id, manifest, key, ...headers]) bytes += Buffer.byteLength(String(text)) + 8;
  if (bytes <= longestHeaders) return longest;
  throw new MelangeError(
    'MESSAGE_TOO_LARGE',
    `The headers have ${bytes} bytes; RabbitMQ takes ${longestHeaders}.`,
  );
}

function contentOf(content: Buffer, contentType: unknown): MessageContent {
  if (contentType === binaryType) return Uint8Array.from(content);
  return isUtf8(content) ? content.toString('utf8') : Uint8Array.from(content);
}

function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  if (Buffer.isBuffer(value)) return value.toString('utf8');
  if (typeof value !== 'object' || value === null) return String(value);
  return JSON.stringify(value, (_, inner) => (typeof inner === 'bigint' ? String(inner) : inner));
}
