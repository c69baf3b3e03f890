import type { Received } from '@melange/backend-kit';
import type { MessageRow } from '../wire.ts';

/** A message that was taken, and the proof that it is ours. */
export interface PostgresTaken extends Received {
  readonly row: MessageRow;
  readonly ticket: number;
  readonly hasKey: boolean;
}
