import type { MaybePromise } from './maybe-promise.ts';
import type { MessageHeaders } from './message.ts';

/** What a handler is told about a message besides its value. */
export interface ConsumeContext {
  /** Id of the message: the same at every attempt. */
  readonly messageId: string;
  /** `undefined` on a foreign message. */
  readonly manifest: string | undefined;
  /** 1 the first time; each further one is after a run that failed. */
  readonly attempt: number;
  /** The application’s headers. */
  readonly headers: MessageHeaders;
  /** Ordering key, if the message has one. */
  readonly key: string | undefined;
  /** The header `correlationId`; the message's own id where it has none, because it begins the conversation. */
  readonly correlationId: string;
  /** Aborted, with a `DeliveryAbortedError` as reason, when the result will not count any more or takes too long. */
  readonly signal: AbortSignal;
}

/** Processes the messages that it accepts. */
export interface Consumer {
  /** Stable across deployments: with the queue's name it is part of the deduplication key. Unique within a dispatcher. */
  readonly name: string;
  /**
   * Replaces queue and name in the deduplication key, so that the consumer can be renamed, or moved to another queue, without
   * processing again what it has processed. A consumer `billing` of the queue `orders` that never had one keeps its keys under
   * a new name with `deduplicationName: 'orders:billing'` (a colon within either is `%3A`, a percent sign `%25`). Must be
   * unique among all consumers that share the cache. Default: `<queue>:<name>`.
   */
  readonly deduplicationName?: string;
  /** Whether `process` should get the message. Must be fast and without side effects. */
  accepts(message: unknown, context: { readonly manifest: string | undefined }): boolean;
  /**
   * Processes the message. When it throws, the message is retried; a `Reject` dead-letters it at once, a `RetryLater`
   * sets the delay.
   */
  process(message: unknown, context: ConsumeContext): MaybePromise<void>;
}
