import type { Logger, MessagingBackend, RetryPolicy } from '@melange/core';
import type { PostgresConnection } from '@melange/postgres';

/** What a relay is made of. */
export interface OutboxRelayOptions {
  /** Where the outbox is. Stays the caller's to close. */
  readonly connection: PostgresConnection;
  /** Where its messages are published. Stays the caller's to close. */
  readonly backend: MessagingBackend;
  /** Schema of Melange's tables. Default: `melange`. */
  readonly schema?: string;
  /** Bound of rows in hand. Default: 2,000. */
  readonly maxInFlight?: number;
  /** Bound of rows that one exchange claims for one destination. Default: 500. */
  readonly batchSize?: number;
  /**
   * How long the rows of a relay that died are left to it, in ms; it is renewed while the relay lives. A relay that hangs for longer
   * loses its rows to others, and may publish them besides them. Default: 10,000.
   */
  readonly leaseMs?: number;
  /** Longest pause between two looks into the table, in ms: the net under notifications. Default: 1,000. */
  readonly pollMs?: number;
  /** Longest wait for the confirmation of a publish, in ms. Default: 10,000. */
  readonly deadlineMs?: number;
  /**
   * Pauses before a message that could not be published is tried again. Its number of attempts has no bound here. Default:
   * exponential, from 100 ms to 30 s.
   */
  readonly retry?: Pick<RetryPolicy, 'delayMs'>;
  /**
   * Whether the broker will never take a message: it is set aside, with the reason, and the next ones of its key go on. Default: by
   * the code of the error, `MESSAGE_TOO_LARGE`, `MESSAGE_INVALID`, `SERIALIZATION`, `UNSUPPORTED` or `CONFIGURATION`. A queue that
   * does not exist is not among them: it may be declared later.
   *
   * @param attempts attempts that failed, this one included.
   */
  readonly isRefused?: (error: unknown, attempts: number) => boolean;
  /** Age in ms from which a message that waits makes the relay `degraded`. Default: 60,000. */
  readonly maxAgeMs?: number;
  /** Told of trouble, recovery and refused messages. Default: warnings and errors to standard error. */
  readonly logger?: Logger;
}

/** What a relay has done since it was made. */
export interface OutboxRelayCounters {
  /** Messages that the broker confirmed. */
  readonly published: number;
  /** Attempts that failed and will be repeated. */
  readonly failed: number;
  /** Messages set aside. */
  readonly refused: number;
  /** Scheduled messages that were missed and dropped, as they asked for. */
  readonly skipped: number;
  /** Time of the last confirmation, in ms since the epoch; `undefined` before the first one. */
  readonly lastPublishedAt: number | undefined;
}
