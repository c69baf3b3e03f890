import type { NameRules } from '@melange/backend-kit';
import { longestDelaySuffix } from './delay-queues.ts';

/** AMQP 0-9-1 carries names as short strings. */
const maxBytes = 255;

/** A queue that is declared or consumed has delay queues, and more that belongs to it, of longer names. */
export const queueNames: NameRules = { maxBytes, longestSuffix: longestDelaySuffix };
/** Nothing belongs to a topic. */
export const topicNames: NameRules = { maxBytes };

/** Whether what belongs to a queue of this name can have its name. */
export function hasRoomForSuffixes(name: string): boolean {
  return Buffer.byteLength(name + longestDelaySuffix) <= maxBytes;
}

/** Exchange that leads from a queue to its dead-letter queue: any process can ask whether it exists. */
export function deadLetterExchange(queue: string): string {
  return `${queue}.dead-letter`;
}

/** Queue that holds the record of a queue's bindings. */
export function recordQueue(queue: string): string {
  return `${queue}.bindings`;
}
