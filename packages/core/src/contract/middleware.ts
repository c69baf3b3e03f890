import type { ConsumeContext } from './consumer.ts';

/** Context of a middleware: the value, its context, and the consumer about to run. */
export interface MiddlewareContext extends ConsumeContext {
  /** Name of the consumer. */
  readonly consumer: string;
  /** The value that the serializer made. */
  readonly message: unknown;
  /** Key by which the deduplication cache knows this work: of this consumer, on this message. */
  readonly deduplicationKey: string;
}

/**
 * Wraps each run of a consumer: code before it, `await next()`, code after it. An error that it throws counts as the
 * consumer's own; if it returns without calling `next`, the message counts as processed.
 */
export type Middleware = (context: MiddlewareContext, next: () => Promise<void>) => Promise<void>;
