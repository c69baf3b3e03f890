import { DeadLetterHeader, type Message, WireHeader } from '@melange/core';
import {
  type IncomingRecord,
  idOf,
  KafkaHeader,
  type OutgoingRecord,
  own,
  put,
  type RecordHeader,
  textOf,
} from './message.ts';

/** How a record comes again. */
export interface Retry {
  /** Runs that failed. */
  readonly attemptsMade: number;
  /** How often it was handed out and not settled since. */
  readonly redeliveries: number;
  /** Time from which it is due, in ms since the epoch; 0 for at once. */
  readonly notBefore: number;
}

/** The same record, byte for byte, to be delivered again when it is due. */
export function toRetry(
  record: IncomingRecord,
  { attemptsMade, redeliveries, notBefore }: Retry,
): OutgoingRecord {
  const headers = copyHeaders(record);
  // The copy has another place.
  if (textOf(headers[WireHeader.messageId]) === '') delete headers[WireHeader.messageId];
  headers[WireHeader.messageId] ??= Buffer.from(idOf(record), 'utf8');
  put(headers, WireHeader.attempt, attemptsMade);
  if (redeliveries > 0) put(headers, WireHeader.redeliveries, redeliveries);
  else delete headers[WireHeader.redeliveries];
  put(headers, KafkaHeader.notBefore, notBefore);
  return { key: record.key, value: record.value, headers };
}

/**
 * The record as it came, byte for byte, with the dead-letter headers of its copy.
 *
 * @param copy what `deadLetterCopy` made of the message.
 */
export function toDeadLetter(record: IncomingRecord, copy: Message): OutgoingRecord {
  const headers = copyHeaders(record);
  for (const name of [
    WireHeader.attempt,
    WireHeader.redeliveries,
    KafkaHeader.notBefore,
    ...Object.values(DeadLetterHeader),
  ])
    delete headers[name];
  if (textOf(headers[WireHeader.messageId]) === '') delete headers[WireHeader.messageId];
  headers[WireHeader.messageId] ??= Buffer.from(copy.id, 'utf8');
  for (const name of Object.values(DeadLetterHeader)) put(headers, name, copy.headers[name]);
  return { key: record.key, value: record.value, headers };
}

/** The record as it came, to be sent once more. */
export function toCopy(record: IncomingRecord): OutgoingRecord {
  return { key: record.key, value: record.value, headers: copyHeaders(record) };
}

/**
 * Null values and repeated names stay. The timestamp becomes a header: as the copy's own it would count for the age at
 * which Kafka deletes, and a copy of an old record would go at once. Headers of ours without a value are left out.
 */
function copyHeaders({ headers, timestamp = -1 }: IncomingRecord): Record<string, RecordHeader> {
  const copied: Record<string, RecordHeader> = Object.create(null);
  for (const [name, value] of Object.entries(headers))
    if (!own.has(name) || textOf(value) !== undefined) copied[name] = value;
  if (timestamp >= 0 && copied[KafkaHeader.timestamp] === undefined)
    put(copied, KafkaHeader.timestamp, timestamp);
  return copied;
}
