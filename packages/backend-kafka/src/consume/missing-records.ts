import type { Logger } from '@melange/core';
import type { Commit, KafkaClient } from '../client/index.ts';
import type { QueueLayout } from '../topology/topology.ts';
import type { PartitionTracker } from './partition-tracker.ts';
import type { Progress } from './progress.ts';

const nothingCommitted = -1;

/** Offsets that may be missing: from one on, where it is known, up to another. */
interface Gap {
  readonly partition: number;
  readonly from: number | undefined;
  readonly to: number;
}

/**
 * Kafka deletes by age and size, consumed or not. kafkajs then goes on where the log begins, without a word: here it is
 * noticed, said and shown in the health.
 */
export class MissingRecords {
  readonly #queue: string;
  readonly #client: KafkaClient;
  readonly #progress: Progress;
  readonly #logger: Logger;
  /** Up to which offset it was said, by partition. */
  readonly #reported = new Map<string, number>();

  constructor(queue: string, client: KafkaClient, progress: Progress, logger: Logger) {
    this.#queue = queue;
    this.#client = client;
    this.#progress = progress;
    this.#logger = logger;
  }

  /**
   * To be called with what a group had committed when partitions are assigned. kafkajs may have been quicker, and have
   * committed -2, which stands for the beginning of the log, in place of the offset that was not there any more.
   */
  checkCommitted(commits: readonly Commit[], bindings: QueueLayout['bindings']): void {
    const known = commits.filter(({ offset }) => offset !== nothingCommitted);
    for (const name of new Set(known.map(({ topic }) => topic))) {
      const gaps = known
        .filter(({ topic }) => topic === name)
        .map(({ partition, offset }) => ({
          partition,
          from: offset < 0 ? undefined : Math.max(offset, bindings.get(name)?.from[partition] ?? 0),
          to: Number.POSITIVE_INFINITY,
        }));
      this.#look(name, gaps);
    }
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
      this.#look(topic, [{ partition, from: Math.max(position, since), to: first }]);
    }
  }

  #look(topic: string, gaps: readonly Gap[]): void {
    this.#report(topic, gaps).catch((error) => {
      const facts = { queue: this.#queue, topic, error };
      this.#logger.warn('Whether a log still has its records could not be found out', facts);
    });
  }

  /** Markers of transactions and compaction leave gaps as well, after the beginning of the log. */
  async #report(topic: string, gaps: readonly Gap[]): Promise<void> {
    const ranges = await this.#client.rangesOf(topic);
    for (const { partition, from, to } of gaps) {
      const place = `${topic}/${partition}`;
      const end = Math.min(ranges?.get(partition)?.low ?? 0, to);
      const start = Math.max(from ?? 0, this.#reported.get(place) ?? 0);
      if (end <= start) continue;
      this.#reported.set(place, end);
      const count = from === undefined ? 'records' : `${end - start} record(s)`;
      this.#progress.lost(`${count} of ${place} before offset ${end}`);
      const facts = {
        queue: this.#queue,
        topic,
        partition,
        ...(from !== undefined && { from: start }),
        before: end,
      };
      this.#logger.error('Kafka deleted records before they were consumed: raise the retention', facts);
    }
  }
}
