import type { ConsumeContext } from './consumer.ts';

/** What a middleware sees: the value, its context, and the consumer about to run. */
export interface MiddlewareContext extends ConsumeContext {
  /** Name of the consumer. */
  readonly consumer: string;
  /** The value that the serializer made. */
  readonly message: unknown;
}

/**
 * Wraps each run of a consumer: do something, `await next()`, do something. What it throws counts as the
 * consumer's own error; not calling `next` counts as success without the work.
 */
export type Middleware = (context: MiddlewareContext, next: () => Promise<void>) => Promise<void>;
