import type { NameRules } from '@melange/backend-kit';
import { MelangeError } from '@melange/core';
import type { SqsQueueOptions } from '../options.ts';

/** What AWS takes, emulators more. `.fifo` at the end is what keeps order. */
const allowed = /^[\w-]+(\.fifo)?$/;

/** Names that SQS takes. */
export const queueNames: NameRules = { maxBytes: 80, allowed };
/** Names that SNS takes. */
export const topicNames: NameRules = { maxBytes: 256, allowed };

/** Whether SQS and SNS keep the order of what goes through. */
export function isFifo(name: string): boolean {
  return name.endsWith('.fifo');
}

/** @throws MelangeError `CONFIGURATION` when one of them keeps order and another one does not. */
export function assertAlike(name: string, { deadLetterQueue, topics = [] }: SqsQueueOptions): void {
  if (deadLetterQueue !== undefined && isFifo(deadLetterQueue) !== isFifo(name)) {
    const text = `"${deadLetterQueue}" cannot be the dead-letter queue of "${name}": both names end in .fifo, or none.`;
    throw new MelangeError('CONFIGURATION', text);
  }
  const other = topics.find((topic) => isFifo(topic) !== isFifo(name));
  if (other === undefined) return;
  const text = `Topic "${other}" cannot send to queue "${name}": both names end in .fifo, or none.`;
  throw new MelangeError('CONFIGURATION', text);
}
