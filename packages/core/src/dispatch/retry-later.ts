import { checkDelayMs } from '../contract/check-number.ts';
import { MelangeError } from '../errors.ts';

/**
 * Thrown by a handler: try this message again after `delayMs`, whatever the retry policy says. Does not count as an attempt,
 * and a handler may throw it any number of times for a message: `new RetryLater('the bank is closed', { delayMs: 60_000 })`.
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
