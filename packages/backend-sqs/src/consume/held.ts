import type { Received } from '@melange/backend-kit';
import type { SqsMessage } from '../client/sqs.ts';

/** A message that was received and is not over. */
export interface Held extends Received {
  /** As SQS handed it out. */
  readonly raw: SqsMessage;
  /** Group whose order the queue keeps. */
  readonly groupId: string | undefined;
  /** SQS counts its twelve hours from then, of the monotonic clock, in ms. */
  readonly receivedAt: number;
  /** When its lease began that lasts, of the monotonic clock, in ms. */
  leasedAt: number;
}
