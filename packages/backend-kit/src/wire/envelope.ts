import { randomUUID } from 'node:crypto';
import { MelangeError, type Message, type MessageContent, WireHeader } from '@melange/core';
import { wireNumber } from '@melange/core/adapter';
import type { Again, Received } from '../driver.ts';

/** Tells bytes (`bytes`) and tombstones (`none`) from text, which has no such header. */
export const contentHeader = 'melange_content_type';

const own: ReadonlySet<string> = new Set([...Object.values(WireHeader), contentHeader]);
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** A message as a broker carries it that has a body and headers of text. */
export interface Envelope {
  /** Text where the content is text: the driver encodes it as its client wants it. */
  readonly body: MessageContent;
  /** Names and values, each name once. */
  readonly headers: readonly (readonly [name: string, value: string])[];
}

/**
 * Writes a message as body and text headers, by the names that every client reads (docs/wire-format.md). Nothing of it
 * is shared with the message.
 *
 * @param again on a copy that comes again: the attempt and the redeliveries that it comes with.
 * @throws MelangeError `MESSAGE_INVALID` for a header that is no text: a program without types may give anything.
 */
export function toEnvelope(message: Message, again?: Pick<Again, 'attempt' | 'redeliveries'>): Envelope {
  const { content, serializerId, publishedAt } = message;
  const headers: [string, string][] = [];
  for (const [name, value] of Object.entries(message.headers)) {
    if (typeof value !== 'string')
      throw new MelangeError('MESSAGE_INVALID', `The header "${name}" must be text, not ${typeof value}.`);
    headers.push([name, value]);
  }
  const put = (name: string, value: string | number | undefined): void => {
    if (value !== undefined) headers.push([name, String(value)]);
  };
  put(WireHeader.messageId, message.id);
  put(WireHeader.manifest, message.manifest);
  put(WireHeader.serializerId, serializerId);
  put(WireHeader.publishedAt, publishedAt);
  put(WireHeader.key, message.key);
  if (again !== undefined && again.attempt > 1) put(WireHeader.attempt, again.attempt - 1);
  if (again !== undefined && again.redeliveries > 0) put(WireHeader.redeliveries, again.redeliveries);
  if (typeof content === 'string') return { body: content, headers };
  put(contentHeader, content === null ? 'none' : 'bytes');
  return { body: content === null ? new Uint8Array() : Uint8Array.from(content), headers };
}

/**
 * Reads what `toEnvelope`, or any other client, wrote. Never throws: a foreign message is taken as it is, its content as
 * text where it is UTF-8.
 *
 * @param body text where the driver knows already that it is.
 * @param brokerId id of a message that brings none, or an empty one. Default: a new one at each delivery, by which nothing can be
 * deduplicated.
 * @param redeliveries how often the broker says that it handed the message out before. Default: 0.
 */
export function fromEnvelope(
  body: Uint8Array | string,
  headers: Iterable<readonly [name: string, value: string]>,
  brokerId?: string,
  redeliveries = 0,
): Received {
  const envelope = new Map<string, string>();
  const others: [string, string][] = [];
  for (const [name, value] of headers) {
    if (own.has(name)) envelope.set(name, value);
    else others.push([name, value]);
  }
  return {
    message: {
      id: envelope.get(WireHeader.messageId) || brokerId || randomUUID(),
      content: contentOf(body, envelope.get(contentHeader)),
      manifest: envelope.get(WireHeader.manifest),
      serializerId: wireNumber(envelope.get(WireHeader.serializerId)),
      key: envelope.get(WireHeader.key),
      // Defines, where an assignment would set the prototype by a header named `__proto__`.
      headers: others.length === 0 ? {} : Object.fromEntries(others),
      publishedAt: wireNumber(envelope.get(WireHeader.publishedAt)),
    },
    attempt: countOf(envelope.get(WireHeader.attempt)) + 1,
    redeliveries: countOf(envelope.get(WireHeader.redeliveries)) + redeliveries,
  };
}

function contentOf(body: Uint8Array | string, type: string | undefined): MessageContent | null {
  if (type === 'none') return null;
  if (typeof body === 'string') return type === 'bytes' ? new TextEncoder().encode(body) : body;
  if (type === 'bytes') return Uint8Array.from(body);
  try {
    return utf8.decode(body);
  } catch {
    return Uint8Array.from(body);
  }
}

/** Other clients may write anything: what is no count is none. */
function countOf(text: string | undefined): number {
  const number = wireNumber(text) ?? 0;
  return Number.isSafeInteger(number) && number > 0 ? number : 0;
}
