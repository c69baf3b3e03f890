import type { Again } from '@melange/backend-kit';
import { BrokerUnavailableError, MelangeError, type Message } from '@melange/core';
import { retryTopicOf } from '../topology/topology.ts';
import { toCopy, toDeadLetter, toRetry } from '../wire/copies.ts';
import type { IncomingRecord, OutgoingRecord } from '../wire/message.ts';

/**
 * Publishes the copy of a record to a topic; resolves when it is confirmed.
 *
 * @param original its partition is the copy's where the record has no key.
 * @param mayCompress a copy that is too large for a batch is compressed.
 */
export type PublishCopy = (
  topic: string,
  copy: OutgoingRecord,
  original: IncomingRecord,
  mayCompress: boolean,
) => Promise<void>;

/** Copies of a queue's records in other topics, confirmed when their promise resolves. */
export class Copies {
  readonly #retryTopic: string;
  readonly #publish: PublishCopy;

  constructor(queue: string, publish: PublishCopy) {
    this.#retryTopic = retryTopicOf(queue);
    this.#publish = publish;
  }

  /** In the retry topic. @throws MelangeError `MESSAGE_TOO_LARGE` where a record leaves no room for what the copy says besides. */
  retry(record: IncomingRecord, { delayMs, attempt, redeliveries }: Again): Promise<void> {
    const notBefore = delayMs > 0 ? Date.now() + delayMs : 0;
    return this.#again(record, toRetry(record, { attemptsMade: attempt - 1, redeliveries, notBefore }));
  }

  /** The same record once more, at the end of the retry topic. */
  postpone(record: IncomingRecord): Promise<void> {
    return this.#again(record, toCopy(record));
  }

  /** In the dead-letter queue. */
  async deadLetter(record: IncomingRecord, deadLetterQueue: string, copy: Message): Promise<void> {
    try {
      await this.#publish(deadLetterQueue, toDeadLetter(record, copy), record, true);
    } catch (error) {
      if (!MelangeError.is(error, 'MESSAGE_TOO_LARGE')) throw error;
      // The record is as large as the broker takes: rather without the reason than to stop the queue.
      await this.#publish(deadLetterQueue, toCopy(record), record, false);
    }
  }

  async #again(record: IncomingRecord, copy: OutgoingRecord): Promise<void> {
    try {
      await this.#publish(this.#retryTopic, copy, record, true);
    } catch (error) {
      // It is made again when the layout of the queue is read next.
      if (MelangeError.is(error, 'QUEUE_NOT_FOUND'))
        throw new BrokerUnavailableError(`The topic "${this.#retryTopic}" does not exist.`);
      throw error;
    }
  }
}
