import type { MessagingBackend } from '../contract/backend.ts';
import type { Clock } from '../contract/clock.ts';
import type { Ordering } from './options.ts';
import type { Outcome } from './outcome.ts';
import type { ProcessingRules } from './process-message.ts';
import type { Work } from './work.ts';

/** What a dispatcher gives to each of its loops. */
export interface LoopSettings {
  readonly backend: MessagingBackend;
  readonly clock: Clock;
  readonly concurrency: number;
  readonly ordering: Ordering;
  /** How long stopping waits for running handlers, in ms. A function: `close()` may change it. */
  readonly deadlineMs: () => number;
  /** Delay of the retry after a settlement that failed, in ms. */
  readonly longestDelayMs: number;
  /** The rules for all deliveries of the queue. */
  readonly rules: (deadLetterQueue: string | undefined) => ProcessingRules;
  /** Must not throw. */
  readonly report: (error: unknown, work: Work | undefined) => void;
  /** Called for each delivery. Must not throw. */
  readonly onReceived: () => void;
  /** Called when an attempt is over, with `undefined` when settling failed. Must not throw. */
  readonly onOutcome: (outcome: Outcome | undefined, work: Work) => void;
}
