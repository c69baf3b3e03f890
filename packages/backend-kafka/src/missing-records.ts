import type { Logger } from '@melange/core';
import type { KafkaClient } from './kafka-client/index.ts';
import type { PartitionTracker } from './partition-tracker.ts';
import type { Progress } from './progress.ts';

/**
 * Kafka deletes by age and size, consumed or not. kafkajs then goes on where the log begins, without a word: here it is
 * noticed, said and shown in the health.
 */
export class MissingRecords {
  readonly #queue: string;
  readonly #client: KafkaClient;
  readonly #progress: Progress;
  readonly #logger: Logger;

  constructor(queue: string, client: KafkaClient, progress: Progress, logger: Logger) {
    this.#queue = queue;
    this.#client = client;
    this.#progress = progress;
    this.#logger = logger;
  }

  /**
   * To be called before records are received.
   *
   * @param first the first offset that was received, or would have been.
   * @param since records of earlier offsets are not for this queue.
   */
  check(tracker: PartitionTracker, first: number, highWatermark: number, since: number): void {
    const { topic, partition, position, isKnown } = tracker;
    const facts = { queue: this.#queue, topic, partition };
    if (highWatermark < position) {
      this.#logger.warn('A topic was made anew or cut off: its records are read from the start', facts);
      tracker.restart();
    } else if (isKnown && first > position) {
      this.#report(topic, partition, Math.max(position, since), first).catch((error) => {
        this.#logger.warn('Offsets are missing in a partition, and why was not found', { ...facts, error });
      });
    }
  }

  /** Markers of transactions and compaction leave gaps as well, after the beginning of the log. */
  async #report(topic: string, partition: number, from: number, to: number): Promise<void> {
    const low = (await this.#client.rangesOf(topic))?.get(partition)?.low ?? 0;
    const deleted = Math.min(low, to) - from;
    if (deleted <= 0) return;
    this.#progress.lost(`${deleted} record(s) of ${topic}/${partition} from offset ${from} on`);
    const facts = { queue: this.#queue, topic, partition, from, deleted };
    this.#logger.error('Kafka deleted records before they were consumed: raise the retention', facts);
  }
}
