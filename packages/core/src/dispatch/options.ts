import type { MessagingBackend } from '../contract/backend.ts';
import type { DeduplicationCache } from '../contract/cache.ts';
import type { Clock } from '../contract/clock.ts';
import type { Logger } from '../contract/logger.ts';
import type { Middleware } from '../contract/middleware.ts';
import type { SerializerRegistry } from '../messages/registry.ts';
import type { DeduplicationOptions } from './claims.ts';
import type { RetryPolicy } from './retry.ts';
import type { Standing } from './standing-keys.ts';

/** How the messages of a queue may overtake each other. */
export type Ordering = 'none' | 'key' | 'queue';

/** Options of a dispatcher. */
export interface MessageDispatcherOptions {
  /** Decodes the messages. Must know every serializer that the queue's messages use. */
  readonly serializers: SerializerRegistry;
  /** Where messages come from. Default: that of `BackendManager`. */
  readonly backend?: MessagingBackend;
  /** Remembers what was processed. Default: `NullCache`, which remembers nothing. */
  readonly cache?: DeduplicationCache;
  /** How the cache is used. Default: the defaults of `DeduplicationOptions`. */
  readonly deduplication?: DeduplicationOptions;
  /** How many messages of one queue are processed at the same time. Per queue: each `consumeLoop` has a limit of its own. Default: 10. */
  readonly concurrency?: number;
  /**
   * `none`: messages may overtake each other. `key`: messages of one key are processed strictly in order, a
   * failed one holding up its key, and no other, until it succeeds or is dead-lettered. `queue`: one message at a
   * time, in order. Holds within this dispatcher; across processes where the backend orders by key. Attempts that a message
   * makes while it waits in its place are counted here, and start again after a restart. Default: `none`.
   */
  readonly ordering?: Ordering;
  /** Delays between the attempts of a message, and how many there are. Default: `exponentialBackoff()`. */
  readonly retry?: RetryPolicy;
  /**
   * How often the broker may hand a message out again after a process or connection ended without settling it. Above this
   * the message is taken to end its process and is not run: it is dead-lettered with the reason `crashed`, or, without a
   * dead-letter queue, retried at the longest delay and reported each time. From the third such redelivery on, the suspected
   * messages of a queue run one at a time, so that the harmless ones finish. From half of this number on, such a message runs
   * alone in its loop: no other handler of the queue runs meanwhile, and others like it are sent back to the broker. A
   * connection that was lost while this process lived on does not count. Where the broker counts each handing out as an attempt (the capability `releaseKeepsAttempt` is
   * false), a message is `crashed` that is handed out more often than both this and the retry policy allow. Default: 20.
   */
  readonly maxRedeliveries?: number;
  /** Around each run of a consumer, the first outermost. Default: none. */
  readonly middleware?: readonly Middleware[];
  /** Acknowledge whatever the consumers did. Default: false. */
  readonly alwaysAck?: boolean;
  /** Acknowledge before processing: a crash or a failure then loses the message. Default: false. */
  readonly earlyAck?: boolean;
  /**
   * What happens to messages that no consumer accepts. `dead-letter`: where the queue has no dead-letter queue, they
   * are acknowledged with a warning. `acknowledge`: they are dropped without a log line. `retry`: as if a consumer had
   * failed. Default: `dead-letter`.
   */
  readonly unhandled?: 'acknowledge' | 'dead-letter' | 'retry';
  /**
   * Aborts the `signal` of a consumer's run after so many ms, with the reason `timeout`. Each run of each consumer has that
   * time. The handler itself cannot be ended: until it returns it counts towards `concurrency`, the messages behind it in
   * order wait, and its result decides the outcome. So pass `signal` on to everything that the handler awaits. Default:
   * never.
   */
  readonly handlerTimeoutMs?: number;
  /** Receives log lines. Default: warnings and errors to standard error. */
  readonly logger?: Logger;
  /** Source of time for delays and leases. Default: the machine's. */
  readonly clock?: Clock;
  /** Source of jitter, from 0 (inclusive) to 1 (exclusive). Default: `Math.random`. */
  readonly random?: () => number;
}

/** Where an error came from. */
export interface ExceptionContext {
  /** Queue that the message came from. */
  readonly queue: string;
  /** Id of the message; `undefined` when the error concerns no single one. */
  readonly messageId: string | undefined;
  /** 1 the first time; `undefined` when the error concerns no single message. */
  readonly attempt: number | undefined;
  /** Name of the consumer that threw; `undefined` when none did. */
  readonly consumer: string | undefined;
}

/** Options of `consumeLoop` and `consumeEvent`. */
export interface ConsumeOptions {
  /** Stops consumption when aborted. Default: none, `close()` stops it. */
  readonly signal?: AbortSignal;
  /** Called with every error. Not awaited; an error that it throws is logged and changes nothing. */
  readonly onException?: (error: unknown, context: ExceptionContext) => void;
  /** Called after each message, whatever its outcome. Not awaited; an error that it throws is logged and changes nothing. */
  readonly afterConsume?: () => void;
  /** How long stopping waits for running handlers, in ms. Default: 30,000. */
  readonly deadlineMs?: number;
}

/** Numbers of messages since the dispatcher was made. */
export interface DispatcherCounters {
  /** Deliveries handed over by the backend. */
  readonly received: number;
  /** Includes `unhandled` and `undecodable` ones that were acknowledged. */
  readonly acknowledged: number;
  /** Sent back to the broker to be delivered again after a delay. */
  readonly retried: number;
  /** Moved to a dead-letter queue. */
  readonly deadLettered: number;
  /** Accepted by no consumer. */
  readonly unhandled: number;
  /** Content that no serializer could decode. */
  readonly undecodable: number;
  /** Runs of a consumer that were skipped because the cache knew them to be done. */
  readonly duplicates: number;
}

/** A queue being consumed, for health probes. */
export interface LoopHealth {
  /** Name of the queue. */
  readonly queue: string;
  /** Messages received and not settled. */
  readonly inFlight: number;
  /** The error that ended the loop, if one did. */
  readonly failed?: string;
  /** Keys whose first message fails again and again; only with `ordering: 'key'` or `'queue'`. */
  readonly standing?: Standing;
}
