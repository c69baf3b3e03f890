import { type Message, WireHeader } from '@melange/core';
import {
  basicClass,
  frameEnd,
  frameHead,
  frameType,
  letter,
  readUint16,
  readUint32,
} from './amqp-encoding.ts';
import { flagOf, ownFlags } from './foreign-properties.ts';
import { binaryEncoding, binaryType, isBinaryType, textEncoding, textType } from './names.ts';
import type { Original, Received } from './received-message.ts';

const deliverMethod = 60;
/** Class, a field that is not used, size of the content in eight bytes, and flags, before the first property. */
const bytesBeforeProperties = 14;
/** Less than a delivery with any properties has. */
const shortestDelivery = 2 * (frameHead + 1) + 4 + bytesBeforeProperties;

/** What stands for a byte that is no UTF-8. */
const replacement = '\uFFFD';

/** Takes what the broker delivers on one channel. */
export interface DeliveryTaker {
  /** Whether it still does. */
  isOpen(): boolean;
  take(delivery: Received): void;
}

/**
 * Reads deliveries where they lie in what came from the broker, as AMQP 0-9-1 has them: those alone that lie there
 * whole, and of messages that are as Melange writes them. All others are left to amqplib, which makes some twenty
 * objects and buffers of each message on the way.
 */
export class DeliveryFrames {
  readonly #takers: (DeliveryTaker | undefined)[] = [];

  /** @param channel number of the channel, which had no taker or one that is not open any more. */
  add(channel: number, taker: DeliveryTaker): void {
    this.#takers[channel] = taker;
  }

  /** The payload of the frame of properties that lies at the beginning of the bytes, whole; without class and size. */
  propertiesAt(bytes: Buffer): Buffer | undefined {
    if (bytes[0] !== frameType.header || bytes.length < frameHead + 2) return undefined;
    if (readUint16(bytes, frameHead) !== basicClass) return undefined;
    const end = frameHead + readUint32(bytes, 3);
    return bytes.length > end ? bytes.subarray(frameHead + 12, end) : undefined;
  }

  /** Hands over the deliveries at the beginning of the bytes, and answers how many bytes those have. */
  read(bytes: Buffer): number {
    let at = 0;
    for (;;) {
      const taker = this.#takers[channelOfDelivery(bytes, at)];
      if (taker?.isOpen() !== true) return at;
      const delivery = readDelivery(bytes, at);
      if (delivery === undefined) return at;
      at = delivery.end;
      taker.take(delivery);
    }
  }
}

/** Number of the channel on which something is delivered there; 0, which has no consumers, when nothing is. */
function channelOfDelivery(bytes: Buffer, at: number): number {
  if (bytes.length < at + shortestDelivery || bytes[at] !== frameType.method) return 0;
  if (readUint16(bytes, at + frameHead) !== basicClass) return 0;
  return readUint16(bytes, at + frameHead + 2) === deliverMethod ? readUint16(bytes, at + 1) : 0;
}

/** A delivery, and where it ends; what it was read from stays as it is. */
class FramedDelivery implements Received {
  readonly tag: number;
  readonly message: Message;
  /** A retried copy is left to amqplib. */
  readonly attempt = 1;
  redeliveries: number;
  readonly isRedelivered: boolean;
  readonly end: number;
  readonly #bytes: Buffer;
  readonly #start: number;

  constructor(
    bytes: Buffer,
    start: number,
    end: number,
    tag: number,
    message: Message,
    isRedelivered: boolean,
  ) {
    this.#bytes = bytes;
    this.#start = start;
    this.end = end;
    this.tag = tag;
    this.message = message;
    this.redeliveries = Number(isRedelivered);
    this.isRedelivered = isRedelivered;
  }

  original(): Original {
    const { message } = readDelivery(this.#bytes, this.#start) ?? this;
    return { message, foreign: undefined };
  }
}

/** `undefined` when amqplib is to read it: it is not whole, not in three frames, or not of Melange's own. */
function readDelivery(bytes: Buffer, start: number): FramedDelivery | undefined {
  const method = start + frameHead + 4;
  const header = start + frameHead + readUint32(bytes, start + 3) + 1;
  const properties = header + frameHead + bytesBeforeProperties;
  if (bytes.length < properties || bytes[header - 1] !== frameEnd) return undefined;
  const channel = readUint16(bytes, start + 1);
  if (bytes[header] !== frameType.header || readUint16(bytes, header + 1) !== channel) return undefined;
  const body = header + frameHead + readUint32(bytes, header + 3) + 1;
  const contentBytes = readUint32(bytes, header + frameHead + 8);
  if (readUint32(bytes, header + frameHead + 4) !== 0) return undefined;
  const content = contentBytes === 0 ? body : body + frameHead;
  const end = contentBytes === 0 ? body : content + contentBytes + 1;
  if (bytes.length < end || bytes[body - 1] !== frameEnd || bytes[end - 1] !== frameEnd) return undefined;
  if (contentBytes !== 0) {
    if (bytes[body] !== frameType.body || readUint16(bytes, body + 1) !== channel) return undefined;
    if (readUint32(bytes, body + 3) !== contentBytes) return undefined;
  }
  const flags = readUint16(bytes, properties - 2);
  if (flags !== flagsOfUnmarked && flags !== flagsOfMarked) return undefined;
  const message = readMessage(bytes, properties, flags === flagsOfMarked, content, content + contentBytes);
  if (message === undefined) return undefined;
  const tagAt = method + 1 + (bytes[method] as number);
  const tag = readUint32(bytes, tagAt) * 0x100000000 + readUint32(bytes, tagAt + 4);
  const isRedelivered = ((bytes[tagAt + 8] as number) & 1) === 1;
  return new FramedDelivery(bytes, start, end, tag, message, isRedelivered);
}

const flagsOfUnmarked = ownFlags | flagOf.contentType;
const flagsOfMarked = flagsOfUnmarked | flagOf.contentEncoding;

/** From the first property on, which is the content type, before the headers. `undefined` as for `readDelivery`. */
function readMessage(
  bytes: Buffer,
  properties: number,
  isMarked: boolean,
  contentAt: number,
  contentEnd: number,
): Message | undefined {
  const contentType = typeAt(bytes, properties);
  let table = properties + 1 + (bytes[properties] as number);
  let isText: boolean;
  if (isMarked) {
    isText = isShortText(textEncoding, bytes, table);
    if (!isText && !isShortText(binaryEncoding, bytes, table)) return undefined;
    table += 1 + (bytes[table] as number);
  } else {
    // Before text was marked it had this type; of another type, another client wrote it.
    isText = contentType === textType;
    if (!isText && !isBinaryType(contentType)) return undefined;
  }
  const end = table + 4 + readUint32(bytes, table);
  if (end > contentAt) return undefined;
  const headers: Record<string, string> = {};
  let id: string | undefined;
  let manifest: string | undefined;
  let serializerId: number | undefined;
  let key: string | undefined;
  let publishedAt: number | undefined;
  let at = table + 4;
  while (at < end) {
    const name = at;
    const value = name + 1 + (bytes[name] as number);
    at = endOfValue(bytes, value);
    // Also when it is not a number, for a type that is none of ours.
    if (!(at <= end)) return undefined;
    if (isShortText(WireHeader.serializerId, bytes, name)) {
      serializerId = integerAt(bytes, value, at);
      if (serializerId === undefined) return undefined;
    } else if (isShortText(WireHeader.publishedAt, bytes, name)) {
      publishedAt = integerAt(bytes, value, at);
      if (publishedAt === undefined) return undefined;
    } else {
      if (bytes[value] !== letter.text) return undefined;
      const text = bytes.toString('utf8', value + 5, at);
      if (isShortText(WireHeader.messageId, bytes, name)) id = text;
      else if (isShortText(WireHeader.manifest, bytes, name)) manifest = text;
      else if (isShortText(WireHeader.key, bytes, name)) key = text;
      else {
        const ownName = bytes.toString('utf8', name + 1, value);
        if (meansMore.test(ownName)) return undefined;
        headers[ownName] = text;
      }
    }
  }
  // An empty one is none.
  if (id === undefined || id === '') return undefined;
  let content: string | Uint8Array;
  if (isText) {
    content = bytes.toString('utf8', contentAt, contentEnd);
    if (content.includes(replacement)) return undefined;
  } else {
    content = Uint8Array.from(bytes.subarray(contentAt, contentEnd));
  }
  if (contentType === textType || contentType === binaryType) {
    return { id, content, manifest, serializerId, key, headers, publishedAt };
  }
  return { id, content, manifest, serializerId, contentType, key, headers, publishedAt };
}

/** Headers of the broker, of copies, and those that travel under another name. */
const meansMore = /^(x-|melange_)/;

/** Whether an ASCII text of one byte's length is there, with its length before it. */
function isShortText(text: string, bytes: Buffer, at: number): boolean {
  if (bytes[at] !== text.length) return false;
  for (let index = 0; index < text.length; index += 1) {
    if (text.charCodeAt(index) !== bytes[at + 1 + index]) return false;
  }
  return true;
}

/** The place behind a value of a table, which begins with its type; not a number for a type that Melange does not write. */
function endOfValue(bytes: Buffer, at: number): number {
  switch (bytes[at]) {
    case letter.text:
      return at + 5 + readUint32(bytes, at + 1);
    case letter.int8:
      return at + 2;
    case letter.int16:
      return at + 3;
    case letter.int32:
      return at + 5;
    case letter.int64:
      return at + 9;
    default:
      return Number.NaN;
  }
}

/** A whole number, or its decimal digits as text, which every client can read; `undefined` for any other text. */
function integerAt(bytes: Buffer, at: number, end: number): number | undefined {
  const value = at + 1;
  switch (bytes[at]) {
    case letter.text:
      return digitsAt(bytes, value + 4, end);
    case letter.int8:
      return bytes.readInt8(value);
    case letter.int16:
      return bytes.readInt16BE(value);
    case letter.int32:
      return bytes.readInt32BE(value);
    default:
      return bytes.readInt32BE(value) * 0x100000000 + readUint32(bytes, value + 4);
  }
}

/** A number of as many digits as are exact whatever they are. */
const mostDigits = 15;

function digitsAt(bytes: Buffer, start: number, end: number): number | undefined {
  if (start === end || end - start > mostDigits) return undefined;
  let number = 0;
  for (let at = start; at < end; at += 1) {
    const digit = (bytes[at] as number) - 0x30;
    if (digit < 0 || digit > 9) return undefined;
    number = number * 10 + digit;
  }
  return number;
}

/** The types that Melange writes are compared where they lie: no text is made of them. */
const knownTypes: readonly string[] = ['application/json', 'application/x-protobuf', textType, binaryType];

function typeAt(bytes: Buffer, at: number): string {
  for (const type of knownTypes) if (isShortText(type, bytes, at)) return type;
  return bytes.toString('utf8', at + 1, at + 1 + (bytes[at] as number));
}
