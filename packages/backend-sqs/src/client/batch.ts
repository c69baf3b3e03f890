import type { BatchAnswer } from '@melange/backend-kit';

/** An entry of a batch that failed, as both services tell it. */
export interface FailedEntry {
  /** Place in the batch. */
  readonly Id?: string | undefined;
  readonly Code?: string | undefined;
  readonly Message?: string | undefined;
  readonly SenderFault?: boolean | undefined;
}

/** Most entries of any batch of SQS and SNS. */
export const maxEntries = 10;

/** Most bytes of a message, and of a batch, to a queue. */
export const maxQueueBytes = 1_048_576;

/** Errors in the places of the entries that failed, as if each had been a request of its own. */
export function answerOf(count: number, failed: readonly FailedEntry[] = []): BatchAnswer {
  if (failed.length === 0) return undefined;
  const answer: unknown[] = Array(count).fill(undefined);
  for (const { Id, Code = 'Error', Message = 'no further reason', SenderFault } of failed) {
    const $metadata = { httpStatusCode: SenderFault === false ? 500 : 400 };
    answer[Number(Id)] = Object.assign(new Error(`${Code}: ${Message}`), { name: Code, $metadata });
  }
  return answer;
}
