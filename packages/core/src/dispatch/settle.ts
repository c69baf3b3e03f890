import type { RetryCause } from '../contract/backend.ts';
import type { MaybePromise } from '../contract/maybe-promise.ts';
import type { Outcome } from './outcome.ts';
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
    case 'release':
      return delivery.release();
    case 'acknowledged-early':
      return;
  }
}

/** Why a message comes again whose broker could not be told its outcome. */
export function causeOfUntold(untold: Outcome | undefined): RetryCause {
  if (untold?.kind === 'retry') return untold.because;
  // Its run ended, and well: that is no failure of it.
  if (untold?.kind === 'acknowledge') return 'deferred';
  if (untold?.kind !== 'dead-letter') return 'not-run';
  return untold.reason === 'rejected' || untold.reason === 'attempts exhausted' ? 'failed' : 'not-run';
}
