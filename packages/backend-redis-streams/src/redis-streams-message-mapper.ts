import {
  type Message,
  type MessageContent,
  MessageTooLargeError,
  WireHeader,
  wireNumber,
} from '@melange/core';
import { redisStreamsCapabilities } from './redis-streams-capabilities.ts';

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
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Whether an entry can be copied as it is. */
export function hasRoomFor(fields: readonly unknown[]): boolean {
  return fields.length <= mostFields;
}

/** @throws MessageTooLargeError when the content is larger than `redisStreamsCapabilities.maxMessageBytes`. */
export function toEntry(message: Message): EntryFields {
  const body = bytesOf(message.content);
  const most = redisStreamsCapabilities.maxMessageBytes;
  if (body.byteLength > most)
    throw new MessageTooLargeError(
      `Message ${message.id} has ${body.byteLength} bytes; at most ${most} are taken.`,
    );
  return fieldsOf(message, body);
}

/** A copy of what is in Redis already: other clients add more than we take. */
export function toCopy(message: Message): EntryFields {
  return fieldsOf(message, bytesOf(message.content));
}

function bytesOf(content: MessageContent | null): Buffer {
  return typeof content === 'string' ? Buffer.from(content, 'utf8') : Buffer.from(content ?? []);
}

/** Headers are fields of their own; where there are too many, they travel packed in one. */
function fieldsOf(message: Message, body: Buffer): EntryFields {
  const { content } = message;
  const headers = presentOf(message.headers);
  const envelope = presentOf({
    [WireHeader.messageId]: message.id,
    [WireHeader.manifest]: message.manifest,
    [WireHeader.serializerId]: message.serializerId?.toString(),
    [WireHeader.publishedAt]: message.publishedAt?.toString(),
    [WireHeader.key]: message.key,
    // Text and bytes must be told apart when they arrive, also where both are empty.
    [EntryField.contentType]: content === null ? 'none' : typeof content === 'string' ? undefined : 'bytes',
  });
  const fields = [EntryField.content, body, ...headers, ...envelope];
  if (hasRoomFor(fields)) return fields;
  return [EntryField.content, body, EntryField.headers, JSON.stringify(headers), ...envelope];
}

/** Names and values in turn. */
function presentOf(values: Readonly<Record<string, string | undefined>>): string[] {
  return Object.entries(values).flatMap(([name, value]) => (value === undefined ? [] : [name, value]));
}

/** Never throws: what another client added is taken as it is. @param entryId the id where the message brings none. */
export function fromEntry(entryId: string, fields: readonly Buffer[]): Message {
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
  return {
    id: headers.get(WireHeader.messageId) ?? entryId,
    content: contentOf(body, headers.get(EntryField.contentType), entries),
    manifest: headers.get(WireHeader.manifest),
    serializerId: wireNumber(headers.get(WireHeader.serializerId)),
    key: headers.get(WireHeader.key),
    // Defines, where an assignment would set the prototype by a header named `__proto__`.
    headers: Object.fromEntries(entries),
    publishedAt: wireNumber(headers.get(WireHeader.publishedAt)),
  };
}

/** Attempts made before, as written on a retried copy, and the deliveries that Redis counts. */
export function attemptOf(fields: readonly Buffer[], deliveries: number): number {
  const at = fields.findIndex((field, index) => index % 2 === 0 && String(field) === WireHeader.attempt);
  const made = at < 0 ? 0 : (wireNumber(String(fields[at + 1])) ?? 0);
  return (Number.isSafeInteger(made) && made > 0 ? made : 0) + deliveries;
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
