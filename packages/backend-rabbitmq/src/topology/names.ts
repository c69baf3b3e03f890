import { checkName } from '@melange/backend-kit';
import { checkDelayMs } from '@melange/core/adapter';
import { longestDelaySuffix } from './delay-queues.ts';

/** AMQP 0-9-1 carries names as short strings. */
const maxBytes = 255;

/**
 * For a queue that is declared or consumed: its delay queues, and what else belongs to it, have longer names.
 *
 * @throws MelangeError `CONFIGURATION`.
 */
export function checkQueueName(name: string): void {
  checkName('queue', name, { maxBytes, longestSuffix: longestDelaySuffix });
}

/** Whether what belongs to a queue of this name can have its name. */
export function hasRoomForSuffixes(name: string): boolean {
  return Buffer.byteLength(name + longestDelaySuffix) <= maxBytes;
}

/**
 * For a queue or topic that is only named.
 *
 * @throws MelangeError `CONFIGURATION`.
 */
export function checkDestination(kind: 'queue' | 'topic', name: string): void {
  checkName(kind, name, { maxBytes });
}

/** The error that says why nothing can be published so, if so. */
export function whyNotPublishable(
  kind: 'queue' | 'topic',
  name: string,
  deadlineMs: number,
  delayMs: number,
): unknown {
  try {
    checkDestination(kind, name);
    checkDelayMs('deadlineMs', deadlineMs);
    checkDelayMs('delayMs', delayMs);
    return undefined;
  } catch (error) {
    return error;
  }
}
