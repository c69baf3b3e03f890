import { MelangeError, type RetryOptions } from '@melange/core';
import { deadLetterCopy } from '@melange/core/adapter';
import type { KafkaPublisher } from '../publish/publisher.ts';
import { type QueueLayout, retryTopicOf } from '../topology/topology.ts';
import { toCopy, toDeadLetter, toRetry } from '../wire/copies.ts';
import type { KafkaDelivery, Settlements } from './delivery.ts';
import type { Entry } from './entry.ts';

/** Copies of a queue's records in other topics, confirmed when their promise resolves. */
export interface Copies {
  /** In the retry topic. */
  retry(delivery: KafkaDelivery, options: RetryOptions): Promise<void>;
  /** In the dead-letter queue. */
  deadLetter: Settlements['deadLetter'];
  /** The same record once more, at the end of the retry topic. */
  postpone(entry: Entry): Promise<void>;
}

/** @param layout asked at each copy: a queue may learn of its dead-letter queue later. */
export function copiesOf(
  queue: string,
  layout: () => QueueLayout,
  publisher: KafkaPublisher,
  publishTimeoutMs: number,
): Copies {
  const retryTopic = retryTopicOf(queue);
  return {
    retry: ({ entry: { record }, attempt, redeliveries }, { delayMs = 0, because = 'failed' }) => {
      const copy = toRetry(record, {
        attemptsMade: because === 'failed' ? attempt : attempt - 1,
        redeliveries: because === 'not-run' ? redeliveries : 0,
        notBefore: delayMs > 0 ? Date.now() + delayMs : 0,
      });
      return publisher.publish(retryTopic, copy, publishTimeoutMs, record.partition, 'compressed');
    },
    deadLetter: async ({ entry: { record }, message, attempt }, options) => {
      const copy = deadLetterCopy(message, options, { queue, attempts: attempt, at: Date.now() });
      const target = layout().deadLetterQueue as string;
      const { partition } = record;
      try {
        await publisher.publish(
          target,
          toDeadLetter(record, copy),
          publishTimeoutMs,
          partition,
          'compressed',
        );
      } catch (error) {
        if (!MelangeError.is(error, 'MESSAGE_TOO_LARGE')) throw error;
        // It fills what the broker takes: rather without its reason than to stop the queue.
        await publisher.publish(target, toCopy(record), publishTimeoutMs, partition, 'as it came');
      }
    },
    postpone: ({ record }) =>
      publisher.publish(retryTopic, toCopy(record), publishTimeoutMs, record.partition, 'compressed'),
  };
}
