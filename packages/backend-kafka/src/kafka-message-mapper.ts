import {
  DeadLetterHeader,
  type Message,
  type MessageContent,
  type MessageHeaders,
  WireHeader,
} from '@melange/core';

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
}

/** Kafka allows a name more than once, and no value. */
export type RecordHeader = Buffer | (Buffer | null)[] | null;

/** Headers of this adapter alone. */
export const KafkaHeader = {
  /** `bytes` for binary content: text needs no mark. */
  contentType: 'melange_content_type',
  /** Time from which a retried record is due, in ms since the epoch. */
  notBefore: 'melange_not_before',
} as const;

const nothing = Buffer.alloc(0);

const own: ReadonlySet<string> = new Set([...Object.values(WireHeader), ...Object.values(KafkaHeader)]);

export function toRecord(message: Message): OutgoingRecord {
  const { content, key } = message;
  const headers: Record<string, Buffer> = Object.create(null);
  for (const [name, value] of Object.entries(message.headers)) headers[name] = Buffer.from(value, 'utf8');
  headers[WireHeader.messageId] = Buffer.from(message.id, 'utf8');
  put(headers, WireHeader.manifest, message.manifest);
  put(headers, WireHeader.serializerId, message.serializerId);
  put(headers, WireHeader.publishedAt, message.publishedAt);
  if (content instanceof Uint8Array) put(headers, KafkaHeader.contentType, 'bytes');
  return {
    key: key === undefined ? null : Buffer.from(key, 'utf8'),
    value: content === null ? null : bytesOf(content),
    headers,
  };
}

/** The same record, byte for byte, to be delivered again as the next attempt when it is due. */
export function toRetry(record: IncomingRecord, attemptsMade: number, notBefore: number): OutgoingRecord {
  const headers: Record<string, RecordHeader> = copyHeaders(record.headers);
  // A foreign record is known by its place, which the copy changes.
  headers[WireHeader.messageId] ??= Buffer.from(idOf(record), 'utf8');
  put(headers, WireHeader.attempt, attemptsMade);
  put(headers, KafkaHeader.notBefore, notBefore);
  return { key: record.key, value: record.value, headers };
}

/**
 * The record as it came, byte for byte, with the dead-letter headers of its copy.
 *
 * @param copy what `deadLetterCopy` made of the message.
 */
export function toDeadLetter(record: IncomingRecord, copy: Message): OutgoingRecord {
  const headers: Record<string, RecordHeader> = copyHeaders(record.headers);
  for (const name of [WireHeader.attempt, KafkaHeader.notBefore, ...Object.values(DeadLetterHeader)])
    delete headers[name];
  headers[WireHeader.messageId] ??= Buffer.from(copy.id, 'utf8');
  for (const name of Object.values(DeadLetterHeader)) put(headers, name, copy.headers[name]);
  return { key: record.key, value: record.value, headers };
}

/** The record as it came, to be sent once more. */
export function toCopy({ key, value, headers }: OutgoingRecord): OutgoingRecord {
  return { key, value, headers: copyHeaders(headers) };
}

/**
 * Never throws: what another client sent is taken as it is.
 *
 * @param key what `keyOf` says of it, where that is known already.
 */
export function fromRecord(record: IncomingRecord, key: string | undefined = keyOf(record)): Message {
  const headers: Record<string, string> = {};
  for (const name of Object.keys(record.headers)) {
    if (own.has(name)) continue;
    // Defined, so that a name that objects have is an ordinary one.
    Object.defineProperty(headers, name, {
      value: textOf(record.headers[name]) ?? '',
      enumerable: true,
      configurable: true,
      writable: true,
    });
  }
  return {
    id: idOf(record),
    content: contentOf(record),
    manifest: textOf(record.headers[WireHeader.manifest]),
    serializerId: numberOf(textOf(record.headers[WireHeader.serializerId])),
    key,
    headers: headers as MessageHeaders,
    publishedAt: numberOf(textOf(record.headers[WireHeader.publishedAt])),
  };
}

/** The manifest alone, for filters. */
export function manifestOf(record: IncomingRecord): string {
  return textOf(record.headers[WireHeader.manifest]) ?? '';
}

/** Keys that are no text differ from each other as their bytes do. */
export function keyOf({ key }: OutgoingRecord): string | undefined {
  return key === null ? undefined : (strictText(key) ?? key.toString('latin1'));
}

/** Attempts made before, as written on a retried copy, plus this one. */
export function attemptOf({ headers }: IncomingRecord): number {
  const made = numberOf(textOf(headers[WireHeader.attempt])) ?? 0;
  return (Number.isSafeInteger(made) && made > 0 ? made : 0) + 1;
}

/** Time from which the record is due; 0 when that is at once. */
export function notBeforeOf({ headers }: IncomingRecord): number {
  return numberOf(textOf(headers[KafkaHeader.notBefore])) ?? 0;
}

function idOf(record: IncomingRecord): string {
  return (
    textOf(record.headers[WireHeader.messageId]) ?? `${record.topic}-${record.partition}-${record.offset}`
  );
}

function contentOf({ value, headers }: IncomingRecord): MessageContent | null {
  if (value === null) return null;
  const isBytes = textOf(headers[KafkaHeader.contentType]) === 'bytes';
  return (isBytes ? undefined : strictText(value)) ?? Uint8Array.from(value);
}

/** A copy: the message may wait here for a connection while its owner reuses the bytes. */
function bytesOf(content: MessageContent): Buffer {
  return typeof content === 'string' ? Buffer.from(content, 'utf8') : Buffer.from(content);
}

/** kafkajs sends no header without a value: in the copy it is empty, or missing where empty text means something else. */
function copyHeaders(headers: OutgoingRecord['headers']): Record<string, RecordHeader> {
  const copied: Record<string, RecordHeader> = Object.create(null);
  for (const [name, value] of Object.entries(headers)) {
    if (own.has(name) && textOf(value) === undefined) continue;
    copied[name] = Array.isArray(value) ? value.map((one) => one ?? nothing) : (value ?? nothing);
  }
  return copied;
}

function put(headers: Record<string, RecordHeader>, name: string, value: string | number | undefined): void {
  if (value !== undefined) headers[name] = Buffer.from(String(value), 'utf8');
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function strictText(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
}

/** Of a name that is there more than once the last value counts. */
function textOf(value: RecordHeader | undefined): string | undefined {
  const last = Array.isArray(value) ? value.at(-1) : value;
  return last === null || last === undefined ? undefined : last.toString('utf8');
}

function numberOf(text: string | undefined): number | undefined {
  const number = text === undefined || text.trim() === '' ? Number.NaN : Number(text);
  return Number.isFinite(number) ? number : undefined;
}
