import { DeadLetterHeader, type Message } from '@melange/core';

/** Header that counts how often a message was moved back from a dead-letter queue. */
export const redrivenHeader = 'melange_redriven';

/** A message in a dead-letter queue, and what its headers say of how it came there. */
export interface DeadLetter {
  /** The message, with the circumstances still in its headers. */
  readonly message: Message;
  /** Why it was dead-lettered, such as `rejected`; `undefined` where no Melange client did it. */
  readonly reason: string | undefined;
  /** Name of what was thrown, such as `TypeError`. */
  readonly errorName: string | undefined;
  /** Message of what was thrown. */
  readonly errorMessage: string | undefined;
  /** Its causes, the nearest first: `TypeError: fetch failed < Error: ECONNRESET`. */
  readonly errorCause: string | undefined;
  /** Attempts made, 1 or more. */
  readonly attempts: number | undefined;
  /** Queue that it failed in. */
  readonly sourceQueue: string | undefined;
  /** Name of the consumer that failed. */
  readonly consumer: string | undefined;
  /** When it was dead-lettered. */
  readonly deadLetteredAt: Date | undefined;
  /** How often it was moved back before. */
  readonly redriven: number;
}

/** What the headers of a message say. Headers of other clients that make no sense are not told. */
export function letterOf(message: Message): DeadLetter {
  const { headers } = message;
  const attempts = numberOf(headers[DeadLetterHeader.attempts]);
  return {
    message,
    reason: headers[DeadLetterHeader.reason],
    errorName: headers[DeadLetterHeader.errorName],
    errorMessage: headers[DeadLetterHeader.errorMessage],
    errorCause: headers[DeadLetterHeader.errorCause],
    attempts: attempts === undefined || attempts < 1 ? undefined : attempts,
    sourceQueue: headers[DeadLetterHeader.sourceQueue],
    consumer: headers[DeadLetterHeader.consumer],
    deadLetteredAt: dateOf(headers[DeadLetterHeader.deadLetteredAt]),
    redriven: numberOf(headers[redrivenHeader]) ?? 0,
  };
}

/** The message as it was before it failed, with the count of its redrives: same id, content, key and headers. */
export function redrivenCopy({ message, redriven }: DeadLetter): Message {
  const headers: Record<string, string> = { ...message.headers };
  for (const name of Object.values(DeadLetterHeader)) delete headers[name];
  headers[redrivenHeader] = String(redriven + 1);
  return { ...message, headers };
}

function numberOf(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

function dateOf(text: string | undefined): Date | undefined {
  const date = new Date(text ?? Number.NaN);
  return Number.isNaN(date.getTime()) ? undefined : date;
}
