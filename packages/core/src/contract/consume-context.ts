import type { ConsumeContext } from './consumer.ts';
import { CorrelationHeader, type Message } from './message.ts';

/** The message's correlation id: the header's, else its own id. */
export function correlationIdOf({ id, headers }: Pick<Message, 'id' | 'headers'>): string {
  return headers[CorrelationHeader.correlationId] ?? id;
}

/**
 * A context for calling a handler or consumer directly, in a test: the first attempt of a message `test`, without
 * manifest, headers and key, never aborted.
 *
 * @param parts take the place of these.
 */
export function consumeContext(parts: Partial<ConsumeContext> = {}): ConsumeContext {
  const { messageId = 'test', headers = {} } = parts;
  return {
    messageId,
    manifest: undefined,
    attempt: 1,
    headers,
    key: undefined,
    correlationId: correlationIdOf({ id: messageId, headers }),
    signal: new AbortController().signal,
    ...parts,
  };
}
