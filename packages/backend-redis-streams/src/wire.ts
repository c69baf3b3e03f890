import {
  DeadLetterHeader,
  MelangeError,
  type Message,
  type MessageContent,
  MessageTooLargeError,
  WireHeader,
} from '@melange/core';
import { wireNumber } from '@melange/core/adapter';
import { redisStreamsCapabilities } from './capabilities.ts';

/** Fields and values in turn, as `XADD` takes them and streams give them. */
export type EntryFields = readonly (string | Buffer)[];

/** Fields of this adapter alone. Names that begin with `melange_` are refused to applications. */
export const EntryField = {
  content: 'melange_content',
  contentType: 'melange_content_type',
  headers: 'melange_headers',
} as const;

/** Most fields and values of an entry that a script adds: it hands them to XADD on Lua's stack, which takes 8,000. */
const mostFields = 4_000;

const own: ReadonlySet<string> = new Set([...Object.values(WireHeader), ...Object.values(EntryField)]);
/** What a dead letter says anew, or no longer: the entry that it was copied from may be one itself. */
const renewed: ReadonlySet<string> = new Set([
  ...Object.values(DeadLetterHeader),
  WireHeader.attempt,
  WireHeader.redeliveries,
]);
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Whether an entry can be copied as it is. */
export function hasRoomFor(fields: readonly unknown[]): boolean {
  return fields.length <= mostFields;
}

/**
 * Keeps nothing of the message that could change.
 *
 * @throws MelangeError `MESSAGE_INVALID` for a header that is no text.
 * @throws MessageTooLargeError when the content is larger than `redisStreamsCapabilities.maxMessageBytes`.
 */
export function toEntry(message: Message): EntryFields {
  const body = bodyOf(message.content);
  const bytes = Buffer.byteLength(body);
  const { maxMessageBytes } = redisStreamsCapabilities;
  if (bytes > maxMessageBytes)
    throw new MessageTooLargeError(
      `Message ${message.id} has ${bytes} bytes; at most ${maxMessageBytes} are taken.`,
    );
  return fieldsOf(message, body);
}

/** A copy of what is in Redis already: other clients add more than we take. */
export function toCopy(message: Message): EntryFields {
  return fieldsOf(message, bodyOf(message.content));
}

/** Text as it is; bytes copied, since their owner may change them. */
function bodyOf(content: MessageContent | null): string | Buffer {
  return typeof content === 'string' ? content : Buffer.from(content ?? []);
}

/** Headers are fields of their own; where there are too many, they travel packed in one. */
function fieldsOf(message: Message, body: string | Buffer): EntryFields {
  const { content, serializerId, publishedAt } = message;
  const fields: (string | Buffer)[] = [EntryField.content, body];
  for (const [name, value] of Object.entries(message.headers)) put(fields, name, value);
  const end = fields.length;
  put(fields, WireHeader.messageId, message.id);
  put(fields, WireHeader.manifest, message.manifest);
  put(fields, WireHeader.serializerId, serializerId?.toString());
  put(fields, WireHeader.publishedAt, publishedAt?.toString());
  put(fields, WireHeader.key, message.key);
  // Text and bytes must be told apart when they arrive, also where both are empty.
  if (typeof content !== 'string') put(fields, EntryField.contentType, content === null ? 'none' : 'bytes');
  if (hasRoomFor(fields)) return fields;
  const headers = JSON.stringify(fields.slice(2, end));
  return [EntryField.content, body, EntryField.headers, headers, ...fields.slice(end)];
}

function put(fields: (string | Buffer)[], name: string, value: string | undefined): void {
  if (value === undefined) return;
  // A program without types may give anything.
  if (typeof value !== 'string')
    throw new MelangeError('MESSAGE_INVALID', `The header "${name}" must be text, not ${typeof value}.`);
  fields.push(name, value);
}

/** What an entry says. */
export interface ReadEntry {
  readonly message: Message;
  /** Runs that failed before, as written on a retried copy. */
  readonly failedAttempts: number;
  /** Times that it was handed out before it was copied, as written on a retried copy. */
  readonly redeliveries: number;
}

/** Never throws: what another client added is taken as it is. @param entryId the id where the message brings none. */
export function fromEntry(entryId: string, fields: readonly Buffer[]): ReadEntry {
  const headers = new Map<string, string>();
  let body: Buffer | undefined;
  for (let index = 0; index + 1 < fields.length; index += 2) {
    const [field, value] = [String(fields[index]), fields[index + 1] as Buffer];
    if (field === EntryField.content) body = value;
    else headers.set(field, value.toString('utf8'));
  }
  for (const [name, value] of unpacked(headers.get(EntryField.headers)))
    if (!own.has(name)) headers.set(name, value);
  const entries = [...headers].filter(([name]) => !own.has(name));
  const message = {
    // An empty one is none: all messages without an id would be one message.
    id: headers.get(WireHeader.messageId) || entryId,
    content: contentOf(body, headers.get(EntryField.contentType), entries),
    manifest: headers.get(WireHeader.manifest),
    serializerId: wireNumber(headers.get(WireHeader.serializerId)),
    key: headers.get(WireHeader.key),
    // Defines, where an assignment would set the prototype by a header named `__proto__`.
    headers: Object.fromEntries(entries),
    publishedAt: wireNumber(headers.get(WireHeader.publishedAt)),
  };
  const failedAttempts = countOf(headers.get(WireHeader.attempt));
  return { message, failedAttempts, redeliveries: countOf(headers.get(WireHeader.redeliveries)) };
}

/**
 * The entry that goes to a dead-letter queue: the fields of the original, byte for byte, binary and repeated ones too, and
 * what `copy` adds to them.
 *
 * @param copy the original with the headers of a dead letter.
 */
export function toDeadLetter(fields: readonly Buffer[], copy: Message): EntryFields {
  const kept: (string | Buffer)[] = [];
  let [hasId, hasContent] = [false, false];
  for (let index = 0; index + 1 < fields.length; index += 2) {
    const [field, value] = [String(fields[index]), fields[index + 1] as Buffer];
    if (renewed.has(field) || (field === WireHeader.messageId && value.length === 0)) continue;
    if (field === WireHeader.messageId) hasId = true;
    if (field === EntryField.content) hasContent = true;
    kept.push(fields[index] as Buffer, value);
  }
  if (!hasId) kept.push(WireHeader.messageId, copy.id);
  if (!hasContent) kept.push(EntryField.content, bodyOf(copy.content));
  for (const name of Object.values(DeadLetterHeader)) {
    const value = copy.headers[name];
    if (value !== undefined) kept.push(name, value);
  }
  return hasRoomFor(kept) ? kept : toCopy(copy);
}

function countOf(text: string | undefined): number {
  const count = wireNumber(text) ?? 0;
  return Number.isSafeInteger(count) && count > 0 ? count : 0;
}

/** Headers that had no room as fields; none where another client wrote something else there. */
function unpacked(text: string | undefined): [name: string, value: string][] {
  if (text === undefined) return [];
  try {
    const packed: unknown = JSON.parse(text);
    if (!Array.isArray(packed) || !packed.every((one) => typeof one === 'string')) return [];
    return packed.flatMap((name, index) => (index % 2 === 0 ? [[name, packed[index + 1] ?? '']] : []));
  } catch {
    return [];
  }
}

/** Without the field of the content another client wrote the entry: its fields, as JSON, are the content. */
function contentOf(
  body: Buffer | undefined,
  type: string | undefined,
  entries: readonly (readonly [string, string])[],
): MessageContent | null {
  if (body === undefined) return JSON.stringify(Object.fromEntries(entries));
  if (type === 'none') return null;
  if (type === 'bytes') return Uint8Array.from(body);
  try {
    return utf8.decode(body);
  } catch {
    return Uint8Array.from(body);
  }
}
