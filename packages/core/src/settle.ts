import type { MaybePromise } from './deduplication-cache.ts';
import type { Outcome } from './process-message.ts';
import type { Work } from './work.ts';

/** Tells the broker what became of a message. */
export function settle({ delivery, attempt }: Work, outcome: Outcome): MaybePromise<void> {
  switch (outcome.kind) {
    case 'acknowledge':
      return delivery.acknowledge();
    case 'retry':
      return delivery.retry({ delayMs: outcome.delayMs, because: outcome.because });
    case 'dead-letter':
      return delivery.deadLetter({ ...outcome, attempts: attempt });
    case 'acknowledged-early':
      return;
  }
}
