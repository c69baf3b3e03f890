import { reconnectDelayMs } from '@melange/backend-kit';
import type { Logger } from '@melange/core';
import type { KafkaClient } from '../client/index.ts';
import { typeOf } from '../errors.ts';
import type { IncomingRecord } from '../wire/message.ts';
import type { Assignment } from './assignment.ts';
import type { Entry } from './entry.ts';
import type { Progress } from './progress.ts';

/** Reads records again that were let go while they waited, when their turn comes. */
export class ReadAgain {
  readonly #queue: string;
  readonly #client: Pick<KafkaClient, 'read'>;
  readonly #progress: Progress;
  readonly #logger: Logger;

  constructor(queue: string, client: Pick<KafkaClient, 'read'>, progress: Progress, logger: Logger) {
    this.#queue = queue;
    this.#client = client;
    this.#progress = progress;
    this.#logger = logger;
  }

  /**
   * Records from that of the entry on; none where Kafka has deleted it meanwhile, which is said. Tries for as long as the
   * partition is ours.
   */
  async read(assignment: Assignment, { tracker, offset }: Entry): Promise<readonly IncomingRecord[]> {
    const { topic, partition } = tracker;
    const facts = { queue: this.#queue, topic, partition };
    for (let failures = 0; !assignment.isLost; ) {
      try {
        const records = await this.#records(topic, partition, offset);
        this.#progress.worked('read again');
        if (records !== undefined || assignment.isLost) return records ?? [];
        this.#progress.lost(`1 record of ${topic}/${partition} at offset ${offset}`);
        const text = 'Kafka deleted a record that waited for its key: raise the retention';
        this.#logger.error(text, { ...facts, offset });
        return [];
      } catch (error) {
        failures += 1;
        if (!assignment.isLost) this.#progress.failed('read again', error);
        await new Promise((resolve) => setTimeout(resolve, reconnectDelayMs(failures)));
      }
    }
    return [];
  }

  /** `undefined` where the record is surely deleted: an answer without records, as to a client that is throttled, says nothing. */
  async #records(
    topic: string,
    partition: number,
    offset: number,
  ): Promise<readonly IncomingRecord[] | undefined> {
    try {
      const records = await this.#client.read(topic, offset, partition);
      const [first] = records;
      if (first === undefined) throw new Error(`Kafka answered without the record at offset ${offset}.`);
      return first.offset === offset ? records : undefined;
    } catch (error) {
      if (typeOf(error) === 'OFFSET_OUT_OF_RANGE') return undefined;
      throw error;
    }
  }
}
