import { WireHeader } from '@melange/core';
import {
  basicClass,
  bytesOfCharacter,
  encoded,
  frameEnd,
  frameHead,
  frameType,
  writeFieldValue,
  writeShortText,
  writeUint16,
  writeUint32,
} from './amqp-encoding.ts';
import { flagOf, ownFlags } from './foreign-properties.ts';
import { numberText, type OutgoingMessage } from './outgoing-message.ts';

/** Where a message goes: to a queue through the default exchange, or to an exchange. */
export interface Target {
  readonly exchange: string;
  readonly routingKey: string;
  /** Whether arriving in no queue is an error. */
  readonly mandatory: boolean;
}

/** What a frame has besides its payload. */
export const frameOverhead: number = frameHead + 1;

const publishMethod = 40;
const persistent = 2;
/** Where the frame of the properties has the lower half of the size of the content. */
const contentSizeAt = frameHead + 8;

/** A method without its texts. */
const longestMethod = 32;

/** Names of the envelope's headers as a table has them, each with its length before it. */
const nameOf = {
  messageId: nameBytes(WireHeader.messageId),
  manifest: nameBytes(WireHeader.manifest),
  serializerId: nameBytes(WireHeader.serializerId),
  publishedAt: nameBytes(WireHeader.publishedAt),
  key: nameBytes(WireHeader.key),
  attempt: nameBytes(WireHeader.attempt),
  redeliveries: nameBytes(WireHeader.redeliveries),
} as const;

/**
 * Makes the frames of what is published on one channel: that of the method, that of the properties, and those of the
 * content, as AMQP 0-9-1 has them. The bytes are those of amqplib's `publish`, which makes some twenty objects and
 * buffers of each message on the way there.
 */
export class PublishFrames {
  readonly #channel: number;
  /** Frames of methods by exchange and routing key. */
  readonly #methods = new Map<string, Map<string, Buffer>>();
  #methodCount = 0;

  /** @param channel number of the channel. */
  constructor(channel: number) {
    this.#channel = channel;
  }

  /**
   * Writes a message whose content goes into a single frame, where there is room for the longest envelope and body.
   * Answers with the place behind it.
   *
   * @throws TypeError when AMQP cannot carry it.
   */
  write(bytes: Buffer, start: number, target: Target, message: OutgoingMessage): number {
    const { content } = message;
    const properties = this.#writeMethod(bytes, start, target);
    const body = this.#writeProperties(bytes, properties, message, 0);
    const text = body + frameHead;
    const length = typeof content === 'string' ? bytes.write(content, text) : content.copy(bytes, text);
    if (length === 0) return body;
    writeUint32(bytes, properties + contentSizeAt, length);
    return this.#endFrame(bytes, body, frameType.body, text + length);
  }

  /**
   * As `write`, without the content, which has so many bytes.
   *
   * @returns where the frame of the properties begins, and the place behind it.
   */
  writeEnvelope(
    bytes: Buffer,
    target: Target,
    message: OutgoingMessage,
    contentBytes: number,
  ): readonly [properties: number, end: number] {
    const properties = this.#writeMethod(bytes, 0, target);
    return [properties, this.#writeProperties(bytes, properties, message, contentBytes)];
  }

  /** The frame of a piece of content, in three pieces, so that the content is not copied. */
  body(piece: Buffer): readonly Buffer[] {
    const head = Buffer.allocUnsafe(frameHead);
    this.#writeHead(head, 0, frameType.body, piece.length);
    return [head, piece, Buffer.of(frameEnd)];
  }

  #writeMethod(bytes: Buffer, start: number, { exchange, routingKey, mandatory }: Target): number {
    const method = this.#methods.get(exchange)?.get(routingKey) ?? this.#addMethod(exchange, routingKey);
    bytes.set(method, start);
    const end = start + method.length;
    // The flags are the last of the method.
    bytes[end - 2] = mandatory ? 1 : 0;
    return end;
  }

  #addMethod(exchange: string, routingKey: string): Buffer {
    const longest = longestMethod + (exchange.length + routingKey.length) * bytesOfCharacter;
    const method = encoded(longest, (bytes) => {
      let at = writeUint16(bytes, frameHead, basicClass);
      at = writeUint16(bytes, at, publishMethod);
      // A field that is not used any more.
      at = writeUint16(bytes, at, 0);
      at = writeShortText(bytes, at, exchange);
      at = writeShortText(bytes, at, routingKey);
      return this.#endFrame(bytes, 0, frameType.method, at + 1);
    });
    if (this.#methodCount === mostMethods) {
      this.#methods.clear();
      this.#methodCount = 0;
    }
    const ofExchange = this.#methods.get(exchange) ?? new Map<string, Buffer>();
    this.#methods.set(exchange, ofExchange.set(routingKey, method));
    this.#methodCount += 1;
    return method;
  }

  #writeProperties(bytes: Buffer, start: number, message: OutgoingMessage, contentBytes: number): number {
    const { foreign } = message;
    let at = writeUint16(bytes, start + frameHead, basicClass);
    // Of a field that is not used, and of the size, which has eight bytes.
    at = writeUint16(bytes, at, 0);
    at = writeUint32(bytes, at, 0);
    at = writeUint32(bytes, at, contentBytes);
    if (foreign === undefined) {
      const { contentType, contentEncoding } = message;
      const isMarked = contentEncoding !== undefined;
      at = writeUint16(bytes, at, isMarked ? flagsOfMarked : flagsOfUnmarked);
      at = writeShortText(bytes, at, contentType);
      if (isMarked) at = writeShortText(bytes, at, contentEncoding);
    } else {
      at = writeUint16(bytes, at, ownFlags | foreign.flags);
      at = writeBytes(bytes, at, foreign.beforeHeaders);
    }
    const table = at;
    at = writeHeaders(bytes, table + 4, message);
    writeUint32(bytes, table, at - table - 4);
    bytes[at] = persistent;
    at += 1;
    if (foreign !== undefined) at = writeBytes(bytes, at, foreign.beforeMessageId);
    at = writeShortText(bytes, at, message.messageId);
    if (foreign !== undefined) at = writeBytes(bytes, at, foreign.afterMessageId);
    return this.#endFrame(bytes, start, frameType.header, at);
  }

  #writeHead(bytes: Buffer, start: number, type: number, payload: number): void {
    bytes[start] = type;
    writeUint32(bytes, writeUint16(bytes, start + 1, this.#channel), payload);
  }

  /** Puts the head before a payload that ends at `at`, and the end behind it. */
  #endFrame(bytes: Buffer, start: number, type: number, at: number): number {
    this.#writeHead(bytes, start, type, at - start - frameHead);
    bytes[at] = frameEnd;
    return at + 1;
  }
}

const flagsOfUnmarked = ownFlags | flagOf.contentType;
const flagsOfMarked = flagsOfUnmarked | flagOf.contentEncoding;

/** So many destinations are known by heart. */
const mostMethods = 1_000;

/** Bytes that the frames of method and properties take at most. */
export function longestEnvelope({ exchange, routingKey }: Target, message: OutgoingMessage): number {
  return message.longestEnvelope + longestMethod + (exchange.length + routingKey.length) * bytesOfCharacter;
}

/** Bytes that the content takes at most in a single frame. */
export function longestBody({ content }: OutgoingMessage): number {
  return frameOverhead + content.length * (typeof content === 'string' ? bytesOfCharacter : 1);
}

/** What another client wrote, the application's headers, then the envelope, all of it as text. */
function writeHeaders(bytes: Buffer, start: number, message: OutgoingMessage): number {
  const { entries, headers, manifest, serializerId, publishedAt, key, attempt, redeliveries } = message;
  let at = entries === undefined ? start : writeBytes(bytes, start, entries);
  for (let index = 0; index < headers.length; index += 2) {
    at = writeShortText(bytes, at, headers[index] as string);
    at = writeFieldValue(bytes, at, headers[index + 1]);
  }
  at = writeHeader(bytes, at, nameOf.messageId, message.id);
  if (manifest !== undefined) at = writeHeader(bytes, at, nameOf.manifest, manifest);
  if (serializerId !== undefined) at = writeHeader(bytes, at, nameOf.serializerId, numberText(serializerId));
  if (publishedAt !== undefined) at = writeHeader(bytes, at, nameOf.publishedAt, numberText(publishedAt));
  if (key !== undefined) at = writeHeader(bytes, at, nameOf.key, key);
  if (attempt !== undefined) at = writeHeader(bytes, at, nameOf.attempt, numberText(attempt));
  if (redeliveries !== undefined) at = writeHeader(bytes, at, nameOf.redeliveries, numberText(redeliveries));
  return at;
}

function writeBytes(bytes: Buffer, at: number, piece: Buffer): number {
  bytes.set(piece, at);
  return at + piece.length;
}

function writeHeader(bytes: Buffer, start: number, name: Buffer, value: string): number {
  let at = start;
  for (let index = 0; index < name.length; index += 1) bytes[at++] = name[index] as number;
  return writeFieldValue(bytes, at, value);
}

function nameBytes(name: string): Buffer {
  return encoded(256, (bytes) => writeShortText(bytes, 0, name));
}
