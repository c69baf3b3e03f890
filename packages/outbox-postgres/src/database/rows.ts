import { Buffer } from 'node:buffer';
import { MelangeError, type Message } from '@melange/core';
import { type DestinationKind, destinationOf, laneOf } from './names.ts';

/** When a row is due, in ms of the server's clock; and until when. Default: at once. */
export interface Due {
  /** So long after it is written. */
  readonly delayMs?: number | undefined;
  /** At a time, since the epoch. */
  readonly at?: number | undefined;
  /** Not later than so long after its time: then never. Default: whenever. */
  readonly expiresAfterMs?: number | undefined;
  /** By which it can be cancelled. */
  readonly scheduleId?: string | undefined;
}

/** Row of the outbox as JSON, for `json_to_recordset`. */
export interface NewRow extends MessageColumns, Due {
  readonly destination: string;
  readonly lane: string | undefined;
}

/** Columns that hold a message, content as base64. */
export interface MessageColumns {
  readonly messageId: string;
  readonly content: string | null;
  readonly isText: boolean;
  readonly manifest: string | undefined;
  readonly serializerId: number | undefined;
  readonly contentType: string | undefined;
  readonly key: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
  readonly publishedAt: number | undefined;
}

/** Row of a message. @throws MelangeError `MESSAGE_INVALID` for text that Postgres cannot hold. */
export function rowOf(kind: DestinationKind, name: string, message: Message, due: Due = {}): NewRow {
  const destination = destinationOf(kind, name);
  const lane = message.key === undefined ? undefined : laneOf(destination, message.key);
  checkText('destination', name);
  return { destination, lane, ...due, ...columnsOf(message) };
}

/** A failing statement would end the caller's transaction: what Postgres would refuse is refused before. */
function columnsOf(message: Message): MessageColumns {
  const { id, content, manifest, serializerId, contentType, key, headers, publishedAt } = message;
  checkText('id', id);
  checkText('key', key);
  checkText('manifest', manifest);
  checkText('content type', contentType);
  for (const [header, value] of Object.entries(headers)) {
    checkText('name of a header', header);
    checkText(`header "${header}"`, value);
  }
  return {
    messageId: id,
    content: content === null ? null : Buffer.from(content as string).toString('base64'),
    isText: typeof content === 'string',
    manifest,
    serializerId,
    contentType,
    key,
    headers,
    publishedAt,
  };
}

/** @throws MelangeError `MESSAGE_INVALID` for text that Postgres cannot hold. */
export function checkText(what: string, text: string | undefined): void {
  if (text === undefined || !/\0|\p{Surrogate}/u.test(text)) return;
  throw new MelangeError(
    'MESSAGE_INVALID',
    `The ${what} of the message contains a character that Postgres cannot hold (U+0000, or half of a pair).`,
  );
}

/** Reads the columns that hold a message, as they are in the outbox and in the table of what was refused. */
export function messageOf(row: Readonly<Record<string, unknown>>): Message {
  const content = row.content === null ? null : Buffer.from(row.content as Uint8Array);
  return {
    id: row.message_id as string,
    content: content !== null && row.is_text === true ? content.toString('utf8') : content,
    manifest: (row.manifest as string | null) ?? undefined,
    serializerId: (row.serializer_id as number | null) ?? undefined,
    contentType: (row.content_type as string | null) ?? undefined,
    key: (row.key as string | null) ?? undefined,
    headers: row.headers as Message['headers'],
    publishedAt: (row.published_at as number | null) ?? undefined,
  };
}

/** Columns of `messageOf`. */
export const messageColumns =
  'message_id, content, is_text, manifest, serializer_id, content_type, key, headers, published_at';
