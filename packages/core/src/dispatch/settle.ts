import type { RetryCause } from '../contract/backend.ts';
import type { MaybePromise } from '../contract/maybe-promise.ts';
import type { Outcome } from './outcome.ts';
import type { Work } from './work.ts';

/** Settles a message at the broker, as its outcome says. */
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

/** Why a message is retried whose settlement failed. */
export function causeOfUnsettled(outcome: Outcome | undefined): RetryCause {
  if (outcome?.kind === 'retry') return outcome.because;
  // Its handlers succeeded: the next attempt is not after a failure.
  if (outcome?.kind === 'acknowledge') return 'deferred';
  if (outcome?.kind !== 'dead-letter') return 'not-run';
  return outcome.reason === 'rejected' || outcome.reason === 'attempts exhausted' ? 'failed' : 'not-run';
}
