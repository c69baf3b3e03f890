import { WireHeader } from '@melange/core';

/** Every name of the envelope, in the order in which the mapper writes them. */
const names = [
  WireHeader.messageId,
  WireHeader.manifest,
  WireHeader.serializerId,
  WireHeader.publishedAt,
  WireHeader.key,
  WireHeader.attempt,
] as const;

const envelope: Record<string, unknown> = Object.fromEntries(names.map((name) => [name, undefined]));

/**
 * The headers, to be encoded in this turn: one object for all messages that have those of the envelope alone. amqplib
 * makes the headers the prototype of another object, and an object that becomes a prototype costs V8 more than all
 * that is written for a message. What is undefined there is not written.
 */
export function reusedHeaders(headers: Record<string, unknown>): Record<string, unknown> {
  for (const name in headers) if (!Object.hasOwn(envelope, name)) return headers;
  for (const name of names) envelope[name] = headers[name];
  return envelope;
}
