import { createHash } from 'node:crypto';
import { type Again, type Envelope, fromEnvelope, type Received, toEnvelope } from '@melange/backend-kit';
import type { Message } from '@melange/core';

/** A message as the columns of a row have it. */
export interface PostgresRecord {
  /** Object of the envelope's headers, as JSON. */
  readonly headers: string;
  /** In base64: less than the hexadecimal digits that the client libraries make of bytes, and by far faster with PGlite. */
  readonly body: string;
  /** Decides the order; `null` without a key. */
  readonly orderingKey: string | null;
  /** For filters. */
  readonly manifest: string;
}

/** Longest key that stands for itself, in bytes: an index takes no more than some 2,700. */
const maxKeyBytes = 200;

/** The row of a message. */
export function toRecord(message: Message, again?: Pick<Again, 'attempt' | 'redeliveries'>): PostgresRecord {
  const { body, headers } = toEnvelope(message, again);
  return {
    headers: JSON.stringify(Object.fromEntries(headers)),
    body: Buffer.from(body ?? '').toString('base64'),
    orderingKey: message.key === undefined ? null : orderingKeyOf(message.key),
    manifest: storable(message.manifest ?? ''),
  };
}

/** A row as it was read. */
export interface MessageRow {
  readonly id: number | bigint;
  readonly headers: unknown;
  /** In base64. */
  readonly body: string;
  /** 1 + the runs that failed before. */
  readonly attempt: number;
  readonly redeliveries: number;
}

/** Never throws: what another client wrote is taken as it is. */
export function fromRow({ id, headers, body, attempt, redeliveries }: MessageRow): Received {
  const received = fromEnvelope(Buffer.from(body, 'base64'), entriesOf(headers), String(id), redeliveries);
  return { ...received, attempt: received.attempt + attempt - 1 };
}

/** Text that a column takes: Postgres has no character 0. */
export function storable(text: string): string {
  return text.replaceAll('\0', '\\0');
}

function orderingKeyOf(key: string): string {
  if (Buffer.byteLength(key) <= maxKeyBytes) return storable(key);
  return createHash('sha256').update(key).digest('base64');
}

function entriesOf(headers: unknown): Envelope['headers'] {
  if (typeof headers !== 'object' || headers === null) return [];
  return Object.entries(headers).map(([name, value]) => [
    name,
    typeof value === 'string' ? value : JSON.stringify(value),
  ]);
}
