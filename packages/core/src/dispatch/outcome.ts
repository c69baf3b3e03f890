import type { RetryCause } from '../contract/backend.ts';

/** How the processing of a message ended, and so how it is settled. */
export type Outcome =
  | {
      readonly kind: 'acknowledge';
      readonly because: 'processed' | 'unhandled' | 'undecodable' | 'rejected' | 'always-ack';
    }
  | { readonly kind: 'acknowledged-early' }
  | { readonly kind: 'retry'; readonly delayMs: number; readonly because: RetryCause }
  /** It was not run, because its wait for the deduplication cache was ended: it is given back to the broker. */
  | { readonly kind: 'release' }
  | {
      readonly kind: 'dead-letter';
      readonly reason: string;
      readonly error: unknown;
      readonly consumer: string | undefined;
    };

/** Facts about a message for the log line of its outcome. */
export interface OutcomeCircumstances {
  readonly attempt: number;
  readonly maxAttempts: number;
  readonly deadLetterQueue: string | undefined;
}

/** The outcome as the text of a log line: `message will be retried: retry 2 of 9 in 400 ms`. */
export function outcomeText(outcome: Outcome, circumstances: OutcomeCircumstances): string {
  switch (outcome.kind) {
    case 'acknowledge':
      return `message acknowledged: ${acknowledgedBecause[outcome.because]}`;
    case 'acknowledged-early':
      return 'message lost: it was acknowledged before it ran (earlyAck)';
    case 'retry':
      return `message will be retried: ${retryText(outcome.because, outcome.delayMs, circumstances)}`;
    case 'release':
      return 'message goes back to the broker';
    case 'dead-letter':
      return `message dead-lettered to ${circumstances.deadLetterQueue}: ${outcome.reason}`;
  }
}

const acknowledgedBecause = {
  processed: 'its work is done',
  unhandled: 'no consumer accepts it',
  undecodable: 'undecodable, and the queue has no dead-letter queue',
  rejected: 'rejected, and the queue has no dead-letter queue',
  'always-ack': 'alwaysAck',
} as const;

function retryText(because: RetryCause, delayMs: number, circumstances: OutcomeCircumstances): string {
  const { attempt, maxAttempts } = circumstances;
  if (because === 'deferred') return `in ${delayMs} ms, as its handler asked; this is no attempt`;
  if (because === 'not-run') return `in ${delayMs} ms, for it did not run; this is no attempt`;
  if (attempt < maxAttempts) {
    const retries = Number.isFinite(maxAttempts) ? ` of ${maxAttempts - 1}` : '';
    return `retry ${attempt}${retries} in ${delayMs} ms`;
  }
  return `in ${delayMs} ms, its attempts exhausted, as the queue has no dead-letter queue`;
}
