import {
  MelangeError,
  type Message,
  type MessageContent,
  type MessageHeaders,
  WireHeader,
} from '@melange/core';
import { wireNumber } from '@melange/core/adapter';
import { numberAt, strictTextAt, textAt } from './text.ts';

/** A record as it goes to Kafka. */
export interface OutgoingRecord {
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: Readonly<Record<string, RecordHeader>>;
}

/** A record as it came from Kafka. */
export interface IncomingRecord extends OutgoingRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** As Kafka has it, in ms since the epoch; -1 or `undefined` where it has none. */
  readonly timestamp?: number | undefined;
  /** Key, value and headers, in bytes. */
  readonly size: number;
  /** The key as text, where it is at hand without the bytes being cut out; so are the next two. */
  readonly keyText?: string | undefined;
  header?(name: string): string | undefined;
  visit?(visitor: RecordVisitor): void;
  /** Lets go of what is in memory for it beyond its own bytes. */
  detach?(): void;
}

/** Is told the parts of a record, as places in its bytes; one that ends before it starts is null. */
export interface RecordVisitor {
  value(bytes: Buffer, start: number, end: number): void;
  /** In their order; a name may come more than once. */
  header(name: string, bytes: Buffer, start: number, end: number): void;
}

/** Kafka allows a name more than once, and no value. */
export type RecordHeader = Buffer | (Buffer | null)[] | null;

/** Headers of this adapter alone. */
export const KafkaHeader = {
  /** `bytes` for binary content: text needs no mark. */
  contentType: 'melange_content_type',
  /** Time from which a retried record is due, in ms since the epoch. */
  notBefore: 'melange_not_before',
  /** On copies: timestamp of the record that was published, in ms since the epoch. */
  timestamp: 'melange_record_timestamp',
} as const;

const nothing: Buffer = Buffer.alloc(0);
/** Lengths and such, at most. */
const bytesOfRecord = 64;
const bytesOfHeader = 16;

/** Names that handlers do not see. */
export const own: ReadonlySet<string> = new Set([
  ...Object.values(WireHeader),
  ...Object.values(KafkaHeader),
]);

/**
 * The message as it is now: its record is made later, and its owner may use its bytes again.
 *
 * @throws MelangeError `MESSAGE_INVALID` for what no record can carry.
 */
export function snapshotOf(message: Message): Message {
  const { content, headers } = message;
  for (const [name, value] of Object.entries(headers))
    if (typeof value !== 'string')
      throw new MelangeError('MESSAGE_INVALID', `The header "${name}" is ${typeof value}, not text.`);
  return {
    ...message,
    content: content instanceof Uint8Array ? Uint8Array.from(content) : content,
    headers: { ...headers },
  };
}

/** The record of a message, which shares the bytes of its content. */
export function toRecord(message: Message): OutgoingRecord {
  const { content, key } = message;
  const headers: Record<string, Buffer> = Object.create(null);
  for (const [name, text] of Object.entries(textHeadersOf(message)))
    headers[name] = Buffer.from(text, 'utf8');
  return {
    key: key === undefined ? null : Buffer.from(key, 'utf8'),
    value: content === null ? null : bytesOf(content),
    headers,
  };
}

/** Size of the record that `toRecord` makes, as `sizeOf` counts it. */
export function recordSize(message: Message): number {
  let bytes = Buffer.byteLength(message.key ?? '') + Buffer.byteLength(message.content ?? '') + bytesOfRecord;
  for (const [name, text] of Object.entries(textHeadersOf(message)))
    bytes += Buffer.byteLength(name) + Buffer.byteLength(text) + bytesOfHeader;
  return bytes;
}

/** Bytes that a record takes in a batch, or a few more. */
export function sizeOf({ key, value, headers }: OutgoingRecord): number {
  let bytes = (key?.length ?? 0) + (value?.length ?? 0) + bytesOfRecord;
  for (const [name, header] of Object.entries(headers))
    for (const one of Array.isArray(header) ? header : [header])
      bytes += Buffer.byteLength(name) + (one?.length ?? 0) + bytesOfHeader;
  return bytes;
}

/** Headers of a message's record. Those without a value are left out. */
function textHeadersOf(message: Message): Record<string, string> {
  const { id, manifest, serializerId, publishedAt, content } = message;
  const headers: Record<string, string> = Object.assign(Object.create(null), message.headers);
  headers[WireHeader.messageId] = id;
  if (manifest !== undefined) headers[WireHeader.manifest] = manifest;
  if (serializerId !== undefined) headers[WireHeader.serializerId] = String(serializerId);
  if (publishedAt !== undefined) headers[WireHeader.publishedAt] = String(publishedAt);
  if (content instanceof Uint8Array) headers[KafkaHeader.contentType] = 'bytes';
  return headers;
}

/**
 * Never throws: what another client sent is taken as it is.
 *
 * @param key what `keyOf` says of it, where that is known already.
 */
export function fromRecord(record: IncomingRecord, key: string | undefined = keyOf(record)): Message {
  return new Reading(record).message(key);
}

/** A record being read, once. Of a header that is there more than once the last one counts. */
export class Reading implements RecordVisitor {
  readonly #record: IncomingRecord;
  readonly #headers: Record<string, string> = {};
  #id: string | undefined;
  #manifest: string | undefined;
  #serializerId: number | undefined;
  #publishedAt: number | undefined;
  #attemptsMade: number | undefined;
  #redeliveries: number | undefined;
  #bytes: Buffer = nothing;
  #start = 0;
  #end = 0;
  #isBinary = false;

  constructor(record: IncomingRecord) {
    this.#record = record;
    visit(record, this);
  }

  /** Attempts made before, as written on a retried copy, plus this one. */
  get attempt(): number {
    return countOf(this.#attemptsMade) + 1;
  }

  /** As written on a copy of what did not run. */
  get redeliveries(): number {
    return countOf(this.#redeliveries);
  }

  /** @param key what `keyOf` says of the record. */
  message(key: string | undefined): Message {
    return {
      id: this.#id ?? placeOf(this.#record),
      content: this.#content,
      manifest: this.#manifest,
      serializerId: this.#serializerId,
      key,
      headers: this.#headers as MessageHeaders,
      publishedAt: this.#publishedAt,
    };
  }

  value(bytes: Buffer, start: number, end: number): void {
    this.#bytes = bytes;
    this.#start = start;
    this.#end = end;
  }

  header(name: string, bytes: Buffer, start: number, end: number): void {
    const isNull = end < start;
    switch (name) {
      case WireHeader.messageId:
        // An empty id is none.
        this.#id = isNull || start === end ? undefined : textAt(bytes, start, end);
        break;
      case WireHeader.manifest:
        this.#manifest = isNull ? undefined : textAt(bytes, start, end);
        break;
      case WireHeader.serializerId:
        this.#serializerId = isNull ? undefined : numberAt(bytes, start, end);
        break;
      case WireHeader.publishedAt:
        this.#publishedAt = isNull ? undefined : numberAt(bytes, start, end);
        break;
      case WireHeader.attempt:
        this.#attemptsMade = isNull ? undefined : numberAt(bytes, start, end);
        break;
      case WireHeader.redeliveries:
        this.#redeliveries = isNull ? undefined : numberAt(bytes, start, end);
        break;
      case KafkaHeader.contentType:
        this.#isBinary = !isNull && textAt(bytes, start, end) === 'bytes';
        break;
      default:
        if (!own.has(name)) set(this.#headers, name, isNull ? '' : textAt(bytes, start, end));
    }
  }

  get #content(): MessageContent | null {
    const bytes = this.#bytes;
    if (this.#end < this.#start) return null;
    const text = this.#isBinary ? undefined : strictTextAt(bytes, this.#start, this.#end);
    return text ?? Uint8Array.from(bytes.subarray(this.#start, this.#end));
  }
}

function visit(record: IncomingRecord, visitor: RecordVisitor): void {
  if (record.visit !== undefined) {
    record.visit(visitor);
    return;
  }
  const { value, headers } = record;
  visitor.value(value ?? nothing, 0, value?.length ?? -1);
  for (const name of Object.keys(headers)) {
    const last = lastOf(headers[name]);
    visitor.header(name, last ?? nothing, 0, last?.length ?? -1);
  }
}

/** Assigned where objects have nothing of that name; defined where they have, so that it is an ordinary one. */
function set(headers: Record<string, string>, name: string, value: string): void {
  if (!(name in headers)) headers[name] = value;
  else Object.defineProperty(headers, name, { value, enumerable: true, configurable: true, writable: true });
}

/** The manifest alone, for filters. */
export function manifestOf(record: IncomingRecord): string {
  return headerOf(record, WireHeader.manifest) ?? '';
}

function countOf(header: number | undefined): number {
  return header !== undefined && Number.isSafeInteger(header) && header > 0 ? header : 0;
}

/** Keys that are no text differ from each other as their bytes do. */
export function keyOf(record: IncomingRecord): string | undefined {
  if (record.visit !== undefined) return record.keyText;
  const { key } = record;
  return key === null ? undefined : (strictTextAt(key, 0, key.length) ?? key.toString('latin1'));
}

/** Time from which the record is due; 0 when that is at once. */
export function notBeforeOf(record: IncomingRecord): number {
  return wireNumber(headerOf(record, KafkaHeader.notBefore)) ?? 0;
}

function headerOf(record: IncomingRecord, name: string): string | undefined {
  return record.header === undefined ? textOf(record.headers[name]) : record.header(name);
}

/** The message's id, or the record's place where it has none. */
export function idOf(record: IncomingRecord): string {
  return headerOf(record, WireHeader.messageId) || placeOf(record);
}

function placeOf({ topic, partition, offset }: IncomingRecord): string {
  return `${topic}-${partition}-${offset}`;
}

function bytesOf(content: MessageContent): Buffer {
  if (typeof content === 'string') return Buffer.from(content, 'utf8');
  return Buffer.from(content.buffer, content.byteOffset, content.byteLength);
}

/** Writes a header of ours; nothing where there is no value. */
export function put(
  headers: Record<string, RecordHeader>,
  name: string,
  value: string | number | undefined,
): void {
  if (value !== undefined) headers[name] = Buffer.from(String(value), 'utf8');
}

function lastOf(value: RecordHeader | undefined): Buffer | null | undefined {
  return Array.isArray(value) ? value.at(-1) : value;
}

/** Text of a header; of one that is there more than once the last one counts. */
export function textOf(value: RecordHeader | undefined): string | undefined {
  const last = lastOf(value);
  return last === null || last === undefined ? undefined : textAt(last, 0, last.length);
}
