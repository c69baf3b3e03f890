import { MelangeError, type Message, WireHeader } from '@melange/core';
import { bytesOfCharacter } from './amqp-encoding.ts';
import { amqplibValue, entryOf } from './amqplib-values.ts';
import { type Field, fieldsOf, textOfField } from './field-table.ts';
import { type ForeignProperties, publishableProperties } from './foreign-properties.ts';
import {
  binaryEncoding,
  binaryType,
  isBinaryType,
  isBrokerHeader,
  ownName,
  textEncoding,
  textType,
  wireName,
} from './names.ts';
import type { Foreign } from './received-message.ts';

/** A message as it is sent: nothing of it changes when its owner changes what it was made of. */
export interface OutgoingMessage {
  readonly id: string;
  /** The id, as far as a property has room for it. */
  readonly messageId: string;
  readonly content: string | Buffer;
  readonly contentType: string;
  readonly contentEncoding: string | undefined;
  readonly manifest: string | undefined;
  readonly serializerId: number | undefined;
  readonly publishedAt: number | undefined;
  readonly key: string | undefined;
  /** Runs that failed before, on a copy. */
  readonly attempt: number | undefined;
  /** Redeliveries before, on a copy. */
  readonly redeliveries: number | undefined;
  /** The application's headers: names, as they are on the wire, and values by turns. */
  readonly headers: readonly unknown[];
  /** Headers of another client's message, as entries of a table. */
  readonly entries: Buffer | undefined;
  /** What a copy of a foreign message keeps of its properties. */
  readonly foreign: ForeignProperties | undefined;
  /** Whether arriving in no queue is an error, though it is sent to an exchange. */
  readonly isMandatory: boolean;
  /** Bytes that headers and properties take at most. */
  readonly longestEnvelope: number;
}

/** What a copy has besides the message. */
export interface CopyOf {
  /** Runs that failed before. */
  readonly failedBefore?: number;
  readonly redeliveries?: number;
  /** What another client wrote. Headers that the message has with the same text are written as they came. */
  readonly foreign?: Foreign | undefined;
  /** Whether arriving in no queue is an error, though it is sent to an exchange. */
  readonly isMandatory?: boolean;
  /** Bytes that headers may take; those of another client give way, the largest first. */
  readonly longestHeaders?: number;
}

/** Names what a copy could not take along of the original. */
export const droppedHeader = 'melange_dropped';

/** Bytes; amqplib encodes headers in a buffer of 64 KiB, half of what a frame of the broker would take. */
const longestHeaders = 65_000;
/** Most that a header takes besides its text, or without any. */
const bytesOfHeader = 16;
/** More than the names and numbers of the envelope and of our own properties take. */
const bytesOfNames = 512;

const envelope: ReadonlySet<string> = new Set(Object.values(WireHeader));

/** @throws MelangeError `UNSUPPORTED` for a tombstone, `MESSAGE_TOO_LARGE` for headers. */
export function toAmqp(message: Message, copy: CopyOf = noCopy): OutgoingMessage {
  const { id, content, manifest, serializerId, publishedAt, key, contentType } = message;
  if (content === null)
    throw new MelangeError('UNSUPPORTED', 'RabbitMQ carries no tombstones: give the message content.');
  const isText = typeof content === 'string';
  const { entries, headers } =
    copy.foreign === undefined
      ? { entries: undefined, headers: headersOf(message.headers) }
      : keptHeaders(message, copy.foreign, copy.longestHeaders);
  const foreign = copy.foreign?.properties;
  return {
    id,
    messageId: shortText(id),
    // A copy: the message may wait here for a connection while its owner reuses the bytes.
    content: isText ? content : Buffer.from(content),
    contentType: contentType ?? (isText ? textType : binaryType),
    contentEncoding: encodingOf(isText, contentType),
    manifest,
    serializerId,
    publishedAt,
    key,
    attempt: copy.failedBefore,
    redeliveries: copy.redeliveries,
    headers,
    entries,
    foreign,
    isMandatory: copy.isMandatory === true,
    longestEnvelope: envelopeSize(message, headers, entries, foreign),
  };
}

const noCopy: CopyOf = {};

function encodingOf(isText: boolean, contentType: string | undefined): string | undefined {
  if (isText) return textEncoding;
  return contentType === undefined || isBinaryType(contentType) ? undefined : binaryEncoding;
}

const noHeaders: readonly unknown[] = [];

function headersOf(own: Readonly<Record<string, unknown>>): readonly unknown[] {
  const names = Object.keys(own);
  if (names.length === 0) return noHeaders;
  const headers: unknown[] = [];
  for (const name of names) {
    if (own[name] === undefined || envelope.has(name)) continue;
    headers.push(wireName(name), own[name]);
  }
  return headers;
}

/** Headers that came and are as they came, as entries; all others as text. */
function keptHeaders(
  { headers: wanted }: Message,
  { fields, dropped: notWritable }: Foreign,
  longest: number | undefined,
): { readonly entries: Buffer; readonly headers: readonly unknown[] } {
  const kept: Field[] = [];
  const asTheyCame = new Set<string>();
  const lastOf = new Map(fields.map((field) => [ownName(field.name), field]));
  for (const field of fields) {
    const name = ownName(field.name);
    if (envelope.has(name) || isBrokerHeader(name) || name === droppedHeader) continue;
    const last = lastOf.get(name) as Field;
    // A name that an object of JavaScript cannot have is kept, too.
    if (name !== '__proto__' && wanted[name] !== textOfField(last.value)) continue;
    asTheyCame.add(name);
    kept.push(field);
  }
  // Of earlier copies, too.
  const before = wanted[droppedHeader];
  const dropped = [...(before === undefined ? [] : [before]), ...notWritable];
  if (longest !== undefined) dropLargest(kept, longest, dropped);
  const others = Object.entries(wanted).filter(([name]) => !asTheyCame.has(name) && name !== droppedHeader);
  if (dropped.length > 0) others.push([droppedHeader, dropped.join(', ').slice(0, 1_000)]);
  return { entries: Buffer.concat(kept.map(entryOnWire)), headers: headersOf(Object.fromEntries(others)) };
}

function entryOnWire({ name, value, entry }: Field): Buffer {
  const onWire = wireName(name);
  if (onWire === name) return entry;
  return Buffer.concat([entryOf(onWire, null).subarray(0, -1), value]);
}

function dropLargest(kept: Field[], longest: number, dropped: string[]): void {
  let bytes = kept.reduce((sum, { entry }) => sum + entry.length, 0);
  while (bytes > longest) {
    const largest = kept.reduce((one, other) => (other.entry.length > one.entry.length ? other : one));
    kept.splice(kept.indexOf(largest), 1);
    bytes -= largest.entry.length;
    dropped.push(largest.name);
  }
}

/** As amqplib's `publish` takes them. */
export interface PublishOptions {
  readonly headers: Record<string, unknown>;
  readonly persistent: true;
  readonly [name: string]: unknown;
}

/** As amqplib's `publish` takes them. */
export function publishOptions(outgoing: OutgoingMessage): PublishOptions {
  const { id, messageId, contentType, contentEncoding, manifest, serializerId, publishedAt, key, foreign } =
    outgoing;
  const headers: Record<string, unknown> = {};
  for (const { name, value } of fieldsOf(outgoing.entries ?? Buffer.alloc(0)))
    headers[name] = amqplibValue(value);
  for (let index = 0; index < outgoing.headers.length; index += 2) {
    headers[String(outgoing.headers[index])] = outgoing.headers[index + 1];
  }
  headers[WireHeader.messageId] = id;
  headers[WireHeader.manifest] = manifest;
  headers[WireHeader.serializerId] = optionalNumber(serializerId);
  headers[WireHeader.publishedAt] = optionalNumber(publishedAt);
  headers[WireHeader.key] = key;
  headers[WireHeader.attempt] = optionalNumber(outgoing.attempt);
  headers[WireHeader.redeliveries] = optionalNumber(outgoing.redeliveries);
  if (foreign === undefined) {
    const encoding = contentEncoding === undefined ? {} : { contentEncoding };
    return { persistent: true, messageId, contentType, ...encoding, headers };
  }
  const { kept, dropped } = publishableProperties(foreign);
  if (dropped.length > 0) headers[droppedHeader] ??= dropped.join(', ');
  return { persistent: true, messageId, headers, ...kept };
}

/**
 * A number of the envelope: text, for there are clients that read no header of another type.
 *
 * @throws TypeError for what is no number.
 */
export function numberText(value: number): string {
  if (!Number.isFinite(value)) throw new TypeError(`a header is ${value}`);
  return String(value);
}

function optionalNumber(value: number | undefined): string | undefined {
  return value === undefined ? undefined : numberText(value);
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
  { id, manifest = '', key = '', contentType = '' }: Message,
  headers: readonly unknown[],
  entries: Buffer | undefined,
  foreign: ForeignProperties | undefined,
): number {
  let characters = 2 * id.length + manifest.length + key.length + contentType.length;
  for (const text of headers) characters += String(text).length;
  let longest = bytesOfNames + headers.length * bytesOfHeader + characters * bytesOfCharacter;
  if (foreign !== undefined) {
    const { beforeHeaders, beforeMessageId, afterMessageId } = foreign;
    longest += beforeHeaders.length + beforeMessageId.length + afterMessageId.length;
  }
  // Most messages are not counted any further. What another client wrote has fitted into a frame before.
  if (longest <= longestHeaders) return longest + (entries?.length ?? 0);
  let bytes = 0;
  for (const text of [id, manifest, key, ...headers]) bytes += Buffer.byteLength(String(text)) + 8;
  if (bytes <= longestHeaders) return longest + (entries?.length ?? 0);
  throw new MelangeError(
    'MESSAGE_TOO_LARGE',
    `The headers have ${bytes} bytes; RabbitMQ takes ${longestHeaders}.`,
  );
}
