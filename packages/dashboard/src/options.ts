import type { DispatcherCounters, Logger, MessagingBackend } from '@melange/core';

/** A queue that the dashboard shows. */
export interface DashboardQueue {
  /** Name of the queue. */
  readonly name: string;
  /** Broker that it is on. Stays open. */
  readonly backend: MessagingBackend;
  /** Name of its dead-letter queue. Default: the one that the broker tells. */
  readonly deadLetterQueue?: string;
  /** Name of the broker for people, and in addresses of the page. Default: the name of the backend, such as `rabbitmq`. */
  readonly broker?: string;
}

/** One change that somebody made. */
export interface AuditEntry {
  /** When it began. */
  readonly at: Date;
  /** Who asked for it: what `authorize` returned, `token`, or `loopback`. */
  readonly user: string;
  /** What was done. */
  readonly action: 'redrive' | 'discard' | 'cancel';
  /** Name of the broker. */
  readonly broker: string;
  /** Dead-letter queue. */
  readonly queue: string;
  /** Which letters: `3 letters`, a group, or all. */
  readonly letters: string;
  /** How it ended; `undefined` at its beginning. */
  readonly result: string | undefined;
}

/** What the dashboard shows, and to whom. */
export interface DashboardOptions {
  /** Queues of all connected brokers. */
  readonly queues: readonly DashboardQueue[];
  /** Whether letters may be redriven and discarded. Default: false, the page only reads. */
  readonly allowChanges?: boolean;
  /**
   * Secret of at least 16 characters that opens the page, as `Authorization: Bearer …` or by its sign-in form. Default:
   * none. Without it, and without `authorize`, only requests of this machine to a loopback address are answered.
   */
  readonly token?: string;
  /**
   * Tells who asks, for an application with users of its own: their name for the audit log, or `undefined` to refuse.
   * Replaces `token`. Default: none.
   */
  readonly authorize?: (request: Request) => string | undefined | Promise<string | undefined>;
  /** Path that the dashboard is mounted under, such as `/queues`. Default: the root. */
  readonly basePath?: string;
  /** Told of each change, at its beginning and its end. Default: a line of JSON to standard error. */
  readonly audit?: (entry: AuditEntry) => void;
  /** Counts of the dispatchers in this process by queue, for rates of what is processed. Default: none, only depths are drawn. */
  readonly counters?: () => Readonly<Record<string, DispatcherCounters>>;
  /** How often brokers are asked for depths, in milliseconds, while somebody looks. Default: 5,000. */
  readonly sampleEveryMs?: number;
  /**
   * Bound of the letters that a look at a dead-letter queue goes through. Where the broker cannot be browsed, they are
   * held, and out of sight for others, as long as the look takes. Default: 100,000.
   */
  readonly maxLetters?: number;
  /** Told of what fails. Default: warnings and errors to standard error. */
  readonly logger?: Logger;
}
