import { describeThrown } from '../errors.ts';
import { DeadLetterHeader, type Message } from './message.ts';

/** Why a delivery is dead-lettered. */
export interface DeadLetterOptions {
  /** Short and stable, such as `rejected`, `attempts exhausted`, `undecodable`, `crashed`. */
  readonly reason: string;
  /** What was thrown, if anything. */
  readonly error?: unknown;
  /** Name of the consumer that failed, if one did. */
  readonly consumer?: string | undefined;
  /** Attempts made, where the caller counted more than the broker did. Default: the broker's count. */
  readonly attempts?: number | undefined;
}

/**
 * The copy that goes to a dead-letter queue: content, envelope and headers of the original, plus the
 * circumstances in `melange_*` headers. Headers of an earlier dead-lettering are replaced.
 *
 * @param circumstances `attempts` starts at 1; `at` is ms since the epoch.
 */
export function deadLetterCopy(
  message: Message,
  options: DeadLetterOptions,
  circumstances: { readonly queue: string; readonly attempts: number; readonly at: number },
): Message {
  const headers: Record<string, string> = { ...message.headers };
  for (const name of Object.values(DeadLetterHeader)) delete headers[name];
  headers[DeadLetterHeader.reason] = options.reason;
  headers[DeadLetterHeader.attempts] = String(options.attempts ?? circumstances.attempts);
  headers[DeadLetterHeader.sourceQueue] = circumstances.queue;
  headers[DeadLetterHeader.deadLetteredAt] = new Date(circumstances.at).toISOString();
  if (options.consumer !== undefined) headers[DeadLetterHeader.consumer] = options.consumer;
  if (options.error !== undefined) {
    const thrown = describeThrown(options.error);
    headers[DeadLetterHeader.errorName] = thrown.name;
    headers[DeadLetterHeader.errorMessage] = thrown.message;
    if (thrown.cause !== undefined) headers[DeadLetterHeader.errorCause] = thrown.cause;
  }
  return { ...message, headers };
}
