import type { MaybePromise } from './maybe-promise.ts';
import type { MessageHeaders } from './message.ts';

/** What a consumer learns of a message besides its value. */
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
  /** Names the conversation: the header `correlationId`; of a message without one its own id, for it begins one. */
  readonly correlationId: string;
  /** Aborted, with a `DeliveryAbortedError` as reason, when the work will not count any more. */
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
  /** Whether `process` should get the message. Must be quick and free of effects. */
  accepts(message: unknown, context: { readonly manifest: string | undefined }): boolean;
  /**
   * Does the work. Resolving confirms it; throwing has it retried, `Reject` dead-letters at once,
   * `RetryLater` chooses the delay.
   */
  process(message: unknown, context: ConsumeContext): MaybePromise<void>;
}
