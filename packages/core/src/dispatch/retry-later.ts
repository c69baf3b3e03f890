import { checkDelayMs } from '../contract/check-number.ts';
import { MelangeError } from '../errors.ts';

/**
 * Thrown by a handler: try this message again after `delayMs`, whatever the retry policy says. That is no attempt, and
 * nothing bounds how often a handler may ask for it: `new RetryLater('the bank is closed', { delayMs: 60_000 })`.
 */
export class RetryLater extends MelangeError {
  override readonly name = 'RetryLater';
  readonly delayMs: number;

  /**
   * @param reason for log lines.
   * @throws MelangeError `CONFIGURATION` when `delayMs` is missing, negative, NaN or Infinity.
   */
  constructor(reason: string, options: { readonly delayMs: number; readonly cause?: unknown }) {
    super('RETRY_LATER', reason, options);
    this.delayMs = checkDelayMs('delayMs of RetryLater', options?.delayMs);
  }
}
