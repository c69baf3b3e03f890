import type { Capabilities, MessageDispatcherOptions } from '@melange/core';
import type { Arrival } from './arrival.ts';
import { InvocationBackend } from './invocation-backend.ts';
import type { HandlerSettings } from './options.ts';
import type { Source } from './source.ts';
import { type InvocationContext, TimeLimit } from './time-limit.ts';

/** What is processed, and where it ends up. */
export interface Event<One extends Arrival> {
  /** Of the broker, as far as it shows behind an event source. */
  readonly capabilities: Capabilities;
  /** @param limit to which retries keep. */
  readonly arrivals: readonly One[];
  readonly deadLetterQueue: () => Promise<string | undefined>;
  /** What the dispatcher does otherwise than the service says. */
  readonly dispatcherOptions?: Partial<MessageDispatcherOptions>;
}

/**
 * Gives the messages of an event to the consumers of its queue, by the dispatcher that any other broker's messages go
 * through. Answers those that are not known to be done, in their order.
 */
export async function processEvent<One extends Arrival>(
  source: Source,
  event: Event<One>,
  context: InvocationContext,
  settings: HandlerSettings,
): Promise<readonly One[]> {
  const { queue } = source;
  const limit = new TimeLimit(context, settings.reserveMs);
  const backend = new InvocationBackend(event.capabilities, event.arrivals, event.deadLetterQueue, limit);
  const dispatcher = source.dispatcherOn(backend, event.dispatcherOptions);
  try {
    await limit.within(
      (async () => {
        await dispatcher.consumeEvent(queue, { signal: limit.signal, deadlineMs: limit.graceMs });
        await backend.settled();
      })(),
    );
  } finally {
    limit.clear();
  }
  const undone = backend.undone as readonly One[];
  if (limit.signal.aborted && undone.length > 0) {
    const { logger } = settings;
    logger.warn('the time of the invocation was up: messages were given back', {
      queue,
      messages: undone.length,
    });
  }
  return undone;
}

/**
 * The response to Lambda, or an error where it would not be looked at.
 *
 * @throws Error when something is to come again, and the event source mapping knows all or nothing.
 */
export function responseOf<Identifier>(
  failed: readonly Identifier[],
  { reportBatchItemFailures }: HandlerSettings,
): { readonly batchItemFailures: { readonly itemIdentifier: Identifier }[] } {
  if (!reportBatchItemFailures && failed.length > 0)
    throw new Error(`${failed.length} messages are to come again, and so the whole batch is.`);
  return { batchItemFailures: failed.map((itemIdentifier) => ({ itemIdentifier })) };
}
