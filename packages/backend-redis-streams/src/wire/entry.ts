import { type Again, fromEnvelope, type Received, toEnvelope } from '@melange/backend-kit';
import { DeadLetterHeader, type Message, WireHeader } from '@melange/core';
import { type ByteText, bytesOf, fromBytes, isAscii, packedList, packedString, textOf } from './packed.ts';

/** Fields and values in turn, as `XADD` takes them and streams give them. */
export type EntryFields = readonly ByteText[];

/** An entry of a stream as Redis gives it. */
export interface Entry {
  readonly id: string;
  readonly fields: EntryFields;
}

const contentField = 'melange_content';
/** Headers that had no room as fields: a JSON array of names and values in turn. */
const headersField = 'melange_headers';

/** Most fields and values of an entry that a script adds: it hands them to XADD on Lua's stack, which takes 8,000. */
const maxFields = 4_000;

/** What a copy says anew. */
const counted: ReadonlySet<string> = new Set([WireHeader.attempt, WireHeader.redeliveries]);
/** What a dead letter says anew, or no longer: the entry that it was copied from may be one itself. */
const renewed: ReadonlySet<string> = new Set([...Object.values(DeadLetterHeader), ...counted]);

/**
 * The content first, then a field for each header. Keeps nothing of the message that could change.
 *
 * @param again on a copy that comes again.
 * @throws MelangeError `MESSAGE_INVALID` for a header that is no text.
 */
export function toEntry(message: Message, again?: Pick<Again, 'attempt' | 'redeliveries'>): EntryFields {
  const { body, headers } = toEnvelope(message, again);
  const content = typeof body === 'string' ? bytesOf(body) : fromBytes(Buffer.from(body));
  const fields = [contentField, content];
  for (const [name, value] of headers) fields.push(bytesOf(name), bytesOf(value));
  if (fields.length <= maxFields) return fields;
  const count = Object.keys(message.headers).length;
  const packed = JSON.stringify(headers.slice(0, count).flat());
  return [contentField, content, headersField, bytesOf(packed), ...fields.slice(2 + 2 * count)];
}

/** The fields as a script takes them, which adds the entry. */
export function packedFields(fields: EntryFields): ByteText {
  let packed = packedList(fields.length);
  for (const field of fields) packed += packedString(field);
  return packed;
}

/**
 * Never throws: what another client added is taken as it is. Without a field of the content its fields, as JSON, are the
 * content; of a name that comes twice the last one counts.
 *
 * @param id of the entry, where the message brings none.
 * @param redeliveries how often Redis gave the entry to somebody before. Default: 0.
 */
export function fromEntry(id: string, fields: EntryFields, redeliveries = 0): Received {
  let headers: (readonly [name: string, value: string])[] = [];
  let body: ByteText | undefined;
  for (let index = 0; index + 1 < fields.length; index += 2) {
    const [name, value] = [fields[index] as ByteText, fields[index + 1] as ByteText];
    if (name === contentField) body = value;
    else if (name === headersField) headers = headersIn(textOf(value)).concat(headers);
    else headers.push([textOf(name), textOf(value)]);
  }
  if (body !== undefined)
    return fromEnvelope(isAscii(body) ? body : Buffer.from(body, 'latin1'), headers, id, redeliveries);
  const received = fromEnvelope(new Uint8Array(), headers, id, redeliveries);
  return { ...received, message: { ...received.message, content: JSON.stringify(received.message.headers) } };
}

/** The entry that comes again in place of another one: its fields byte for byte, binary and repeated ones too. */
export function toCopy(entry: Entry, again: Pick<Again, 'attempt' | 'redeliveries'>): EntryFields {
  const added: ByteText[] = [];
  if (again.attempt > 1) added.push(WireHeader.attempt, String(again.attempt - 1));
  if (again.redeliveries > 0) added.push(WireHeader.redeliveries, String(again.redeliveries));
  const fields = copied(entry, counted, added);
  return fields.length <= maxFields ? fields : toEntry(fromEntry(entry.id, entry.fields).message, again);
}

/**
 * The entry that goes to a dead-letter queue: the fields of the original byte for byte, whatever the handler did to its
 * message, and what `copy` adds to them.
 *
 * @param copy a message with the headers of a dead letter.
 */
export function toDeadLetter(entry: Entry, copy: Message): EntryFields {
  const { message } = fromEntry(entry.id, entry.fields);
  const why = Object.values(DeadLetterHeader).flatMap((name) => {
    const value = copy.headers[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  const hasContent = entry.fields.some((field, index) => index % 2 === 0 && field === contentField);
  // An entry without the field has its fields as JSON for content.
  const content = hasContent ? [] : [contentField, message.content as string];
  const fields = copied(entry, renewed, [...content, ...why.flat()].map(bytesOf));
  if (fields.length <= maxFields) return fields;
  const kept = Object.entries(message.headers).filter(([name]) => !renewed.has(name));
  return toEntry({ ...message, headers: Object.fromEntries([...kept, ...why]) });
}

/** The fields without some, and with the id of the entry where they bring none: the copy is another entry. */
function copied({ id, fields }: Entry, without: ReadonlySet<string>, added: EntryFields): EntryFields {
  const kept: ByteText[] = [];
  let hasId = false;
  for (let index = 0; index + 1 < fields.length; index += 2) {
    const [name, value] = [fields[index] as ByteText, fields[index + 1] as ByteText];
    const isId = name === WireHeader.messageId;
    if (without.has(name) || (isId && value === '')) continue;
    hasId ||= isId;
    kept.push(name, value);
  }
  if (!hasId) kept.push(WireHeader.messageId, id);
  return [...kept, ...added];
}

/** Headers that are no fields; those that are count. Another client may have written anything there: then none. */
function headersIn(text: string): (readonly [name: string, value: string])[] {
  try {
    const packed: unknown = JSON.parse(text);
    if (!Array.isArray(packed) || !packed.every((one) => typeof one === 'string')) return [];
    return packed.flatMap((name, index) => (index % 2 === 0 ? [[name, packed[index + 1] ?? '']] : []));
  } catch {
    return [];
  }
}
