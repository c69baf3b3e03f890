import type {
  ConsumeContext,
  Consumer,
  DeduplicationCache,
  Message,
  SerializerRegistry,
} from '@melange/core';
import type { MemoryBackend } from './memory-backend.ts';

/** Who processes the messages of a linked queue. */
export interface LinkOptions {
  readonly serializers: SerializerRegistry;
  readonly consumers: readonly Consumer[];
  /** Default: none, so that every publish is processed. */
  readonly cache?: DeduplicationCache;
}

/** A handler of a test is short: its claim cannot run out under it. */
const leaseMs = 60_000;

/**
 * For tests: publishing to the queue, directly or through its topics, processes the message before it returns,
 * and what a consumer throws rejects the publish. Nothing is retried, nothing stays in the queue.
 *
 * @returns a function that ends the link.
 * @throws QueueNotFoundError when the queue was not declared.
 */
export function linkSynchronously(backend: MemoryBackend, queue: string, options: LinkOptions): () => void {
  return backend.intercept(queue, async (message) => {
    const { content, manifest, serializerId } = message;
    const value =
      content === null ? null : await options.serializers.deserialize({ content, manifest, serializerId });
    for (const consumer of options.consumers) {
      if (consumer.accepts(value, { manifest })) await runOnce(consumer, value, message, options.cache);
    }
  });
}

async function runOnce(
  consumer: Consumer,
  value: unknown,
  message: Message,
  cache: DeduplicationCache | undefined,
): Promise<void> {
  const { id: messageId, manifest, headers, key } = message;
  const context: ConsumeContext = {
    messageId,
    manifest,
    attempt: 1,
    headers,
    key,
    signal: new AbortController().signal,
  };
  const claim = await cache?.claim(`${consumer.name}:${messageId}`, { leaseMs });
  if (claim !== undefined && claim.status !== 'claimed') return;
  try {
    await consumer.process(value, context);
  } catch (error) {
    if (claim !== undefined) await cache?.release(claim.token);
    throw error;
  }
  if (claim !== undefined) await cache?.confirm(claim.token);
}
