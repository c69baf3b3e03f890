import { checkName } from '@melange/backend-kit';
import { retryTopicOf } from './topology.ts';

/** Kafka's own rules; `.` and `..` are no names. */
const rules = { maxBytes: 249, allowed: /^(?!\.{1,2}$)[a-zA-Z0-9._-]+$/ };

/** @throws MelangeError `CONFIGURATION` for a name that Kafka refuses. */
export function checkTopicName(name: string): void {
  checkName('topic', name, rules);
}

/** @throws MelangeError `CONFIGURATION` for a name that Kafka refuses, also for the topic of the queue's retries. */
export function checkQueueName(name: string): void {
  checkName('queue', name, { ...rules, longestSuffix: retryTopicOf('') });
}
