import type { Logger } from '../contract/logger.ts';
import { MelangeError } from '../errors.ts';
import { type Outcome, type OutcomeCircumstances, outcomeText } from './outcome.ts';
import type { ProcessingRules } from './process-message.ts';
import type { Work } from './work.ts';

/**
 * Writes one line for each error of an attempt, when the outcome of its message is known.
 *
 * @param outcome `undefined` when settling the message failed.
 */
export function logFailures(
  logger: Logger,
  work: Work,
  outcome: Outcome | undefined,
  { queue, retry, deadLetterQueue }: Pick<ProcessingRules, 'queue' | 'retry' | 'deadLetterQueue'>,
): void {
  const { failures = [], attempt } = work;
  work.failures = undefined;
  const circumstances = { attempt, maxAttempts: retry.maxAttempts, deadLetterQueue };
  const text =
    outcome === undefined
      ? 'message comes again: its broker could not be told what became of it'
      : outcomeText(outcome, circumstances);
  const { id: messageId, headers } = work.delivery.message;
  for (const { error, consumer } of failures)
    logger[levelOf(error, outcome, circumstances)](text, {
      queue,
      messageId,
      correlationId: headers.correlationId,
      attempt,
      consumer,
      error,
    });
}

/** `info` for a wait that a handler asked for, `warn` where Melange recovers by itself, `error` where a person has to look. */
function levelOf(
  error: unknown,
  outcome: Outcome | undefined,
  { attempt, maxAttempts }: OutcomeCircumstances,
): 'info' | 'warn' | 'error' {
  switch (outcome?.kind) {
    case 'retry':
      if (MelangeError.is(error, 'RETRY_LATER') || MelangeError.is(error, 'CLAIM_HELD')) return 'info';
      if (MelangeError.is(error, 'CRASHED')) return 'error';
      return outcome.because !== 'failed' || attempt < maxAttempts ? 'warn' : 'error';
    case 'acknowledge':
      return outcome.because === 'unhandled' || outcome.because === 'always-ack' ? 'warn' : 'error';
    case 'release':
      return 'warn';
    default:
      return 'error';
  }
}
