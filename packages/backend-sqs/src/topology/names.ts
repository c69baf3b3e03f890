import { checkName } from '@melange/backend-kit';
import { MelangeError } from '@melange/core';
import type { SqsQueueOptions } from '../options.ts';

/** What AWS takes, emulators more. `.fifo` at the end is what keeps order. */
const allowed = /^[\w-]+(\.fifo)?$/;

/** Whether SQS and SNS keep the order of what goes through. */
export function isFifo(name: string): boolean {
  return name.endsWith('.fifo');
}

/** @throws MelangeError `CONFIGURATION` for a name that SQS does not take. */
export function assertQueueName(name: string): void {
  checkName('queue', name, { maxBytes: 80, allowed });
}

/** @throws MelangeError `CONFIGURATION` for a name that SNS does not take. */
export function assertTopicName(name: string): void {
  checkName('topic', name, { maxBytes: 256, allowed });
}

/** @throws MelangeError `CONFIGURATION` when a name is none, or one keeps order and the other does not. */
export function assertNames(name: string, options: SqsQueueOptions): void {
  const { deadLetterQueue, topics = [], removeTopics = [] } = options;
  assertQueueName(name);
  if (deadLetterQueue !== undefined) assertQueueName(deadLetterQueue);
  for (const topic of [...topics, ...removeTopics]) assertTopicName(topic);
  if (deadLetterQueue === name)
    throw new MelangeError('CONFIGURATION', `Queue "${name}" cannot dead-letter to itself.`);
  if (deadLetterQueue !== undefined && isFifo(deadLetterQueue) !== isFifo(name)) {
    const text = `"${deadLetterQueue}" cannot be the dead-letter queue of "${name}": both names end in .fifo, or none.`;
    throw new MelangeError('CONFIGURATION', text);
  }
  const other = topics.find((topic) => isFifo(topic) !== isFifo(name));
  if (other === undefined) return;
  const text = `Topic "${other}" cannot send to queue "${name}": both names end in .fifo, or none.`;
  throw new MelangeError('CONFIGURATION', text);
}
