/** A message as it travels between services. Immutable: adapters and middleware make new ones. */
export interface Message {
  /** Unique and never empty, set once by the publisher (UUIDv7 unless given). A republish after a lost confirm keeps it. */
  readonly id: string;
  /** As the serializer made it: text, bytes, or `null` for a tombstone (a key without a value). */
  readonly content: MessageContent | null;
  /** Names the shape of the content, such as `OrderPlaced`; `undefined` on a foreign message. */
  readonly manifest: string | undefined;
  /** Number of the serializer that made the content; `undefined` on a foreign message. */
  readonly serializerId: number | undefined;
  /**
   * Media type of the content, such as `application/json`, as the serializer names it; `undefined` where neither it nor
   * the broker tells. For other clients to read: Melange goes by `serializerId` and `manifest`.
   */
  readonly contentType?: string | undefined;
  /** Ordering key: messages of one key keep their order where `ordering` asks for it. */
  readonly key: string | undefined;
  /** The application's own headers (`correlationId`, `traceparent`, …), never Melange's envelope. */
  readonly headers: MessageHeaders;
  /** Time of publication in ms since the epoch; `undefined` on a foreign message. */
  readonly publishedAt: number | undefined;
}

/** Text travels as text; bytes travel as bytes, or as base64 on a broker that carries only text. */
export type MessageContent = string | Uint8Array;

/** Header names to their text. */
export type MessageHeaders = Readonly<Record<string, string>>;

/** Names of the envelope on the wire, shared by every backend and by the Python library. */
export const WireHeader = {
  manifest: 'manifest',
  serializerId: 'serializer_id',
  messageId: 'message_id',
  publishedAt: 'published_at',
  key: 'melange_key',
  attempt: 'melange_attempt',
  redeliveries: 'melange_redeliveries',
} as const;

/** Names of the headers that link a message to its conversation and to the message that caused it. */
export const CorrelationHeader = {
  correlationId: 'correlationId',
  causationId: 'causationId',
} as const;

/** Names of the headers that a dead-lettered copy carries besides the original ones. */
export const DeadLetterHeader = {
  reason: 'melange_reason',
  errorName: 'melange_error_name',
  errorMessage: 'melange_error_message',
  errorCause: 'melange_error_cause',
  attempts: 'melange_attempts',
  sourceQueue: 'melange_source_queue',
  consumer: 'melange_consumer',
  deadLetteredAt: 'melange_dead_lettered_at',
} as const;

/**
 * The number in a header of the envelope, also where it is written as text; `undefined` when it is no finite number. For
 * adapters: other clients may write anything there.
 */
export function wireNumber(value: string | number | undefined): number | undefined {
  const number = typeof value === 'string' && value.trim() === '' ? Number.NaN : Number(value);
  return Number.isFinite(number) ? number : undefined;
}

const envelopeNames: ReadonlySet<string> = new Set(Object.values(WireHeader));

/** Whether a header name is reserved for Melange: applications may not set it. */
export function isReservedHeader(name: string): boolean {
  return envelopeNames.has(name) || name.startsWith('melange_');
}
