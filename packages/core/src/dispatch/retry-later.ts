import { checkDelayMs } from '../contract/check-number.ts';
import { MelangeError } from '../errors.ts';

/** Thrown by a handler: try this message again after `delayMs`, whatever the retry policy says. */
export class RetryLater extends MelangeError {
  override readonly name = 'RetryLater';
  readonly delayMs: number;

  /** @throws MelangeError `CONFIGURATION` when `delayMs` is negative or not finite. */
  constructor(delayMs: number, reason?: string, options?: { cause?: unknown }) {
    super('RETRY_LATER', reason ?? `Retry asked for in ${delayMs} ms`, options);
    this.delayMs = checkDelayMs('delayMs of RetryLater', delayMs);
  }
}
