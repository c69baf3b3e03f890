import { randomUUID } from 'node:crypto';
import type { Message, MessageHeaders } from '@melange/core';

/**
 * What a broker would hold: a copy that shares nothing mutable with its origin. Made when a message is
 * published and again when it is delivered, so that neither side sees what the other does to it.
 */
export function copied(message: Message): Message {
  const { content } = message;
  return {
    // An empty id is no id: two such messages are not the same one.
    id: message.id === '' ? randomUUID() : message.id,
    content: content instanceof Uint8Array ? new Uint8Array(content) : content,
    manifest: message.manifest,
    serializerId: message.serializerId,
    contentType: message.contentType,
    key: message.key,
    headers: copiedHeaders(message.headers),
    publishedAt: message.publishedAt,
  };
}

/** Most messages have none: then there is nothing to go through. */
function copiedHeaders(headers: MessageHeaders): MessageHeaders {
  for (const _ in headers) return { ...headers };
  return {};
}
