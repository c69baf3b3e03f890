import {
  type Consumer,
  consumeContext,
  type DeduplicationCache,
  MelangeError,
  type Message,
  type SerializerRegistry,
} from '@melange/core';
import { deduplicationKey } from '@melange/core/adapter';
import type { Interceptable } from './interception.ts';

/** Who processes the messages of a linked queue. */
export interface LinkOptions {
  /** Reads what was published, as a dispatcher does. */
  readonly serializers: SerializerRegistry;
  /** Each runs for every message that it accepts, in this order. */
  readonly consumers: readonly Consumer[];
  /** Default: none, so that every publish is processed. */
  readonly cache?: DeduplicationCache;
}

/** A handler of a test is short: its claim cannot run out under it. */
const leaseMs = 60_000;

/**
 * For tests: publishing to the queue, directly or through its topics, processes the message before it returns,
 * and what a consumer throws rejects the publish: as it is, or in an `AggregateError` when several threw. Nothing
 * is retried or delayed, nothing stays in the queue, and the rest of a batch is not published after an error.
 *
 * @returns a function that ends the link.
 * @throws QueueNotFoundError when the queue was not declared.
 * @throws MelangeError `CONFIGURATION` when the queue is linked already.
 */
export function linkSynchronously(backend: Interceptable, queue: string, options: LinkOptions): () => void {
  return backend.intercept(queue, async (message) => {
    const { content, manifest, serializerId } = message;
    const value =
      content === null ? null : await options.serializers.deserialize({ content, manifest, serializerId });
    const errors: unknown[] = [];
    for (const consumer of options.consumers) {
      try {
        if (consumer.accepts(value, { manifest }))
          await runOnce(queue, consumer, value, message, options.cache);
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 1) throw new AggregateError(errors, `${errors.length} consumers threw`);
    if (errors.length === 1) throw errors[0];
  });
}

async function runOnce(
  queue: string,
  consumer: Consumer,
  value: unknown,
  message: Message,
  cache: DeduplicationCache | undefined,
): Promise<void> {
  const { id: messageId, manifest, headers, key } = message;
  const context = consumeContext({ messageId, manifest, headers, key });
  if (cache === undefined) return consumer.process(value, context);

  const claim = await cache.claim(deduplicationKey(queue, consumer, messageId), { leaseMs });
  if (claim.status === 'done') return;
  if (claim.status === 'held') {
    throw new MelangeError(
      'CLAIM_HELD',
      `Message ${messageId} is being processed elsewhere by "${consumer.name}".`,
    );
  }
  try {
    await consumer.process(value, context);
  } catch (error) {
    await cache.release(claim.token);
    throw error;
  }
  await cache.confirm(claim.token);
}
