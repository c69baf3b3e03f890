import { type Logger, MelangeError, MessageTooLargeError } from '@melange/core';
import { type KafkaClient, type KafkaProducer, type OutgoingBatch, typeOf } from './kafka-client/index.ts';
import type { OutgoingRecord } from './kafka-message-mapper.ts';

/**
 * `bounded`: refused beyond what Kafka takes by default. Copies of records that other clients made are not, for such a
 * record is in Kafka already: `compressed` where they are large, and at last `as it came`.
 */
export type RecordSize = 'bounded' | 'compressed' | 'as it came';

interface Pending {
  readonly topic: string;
  readonly isCompressed: boolean;
  readonly record: OutgoingRecord;
  readonly spread: number;
  readonly bytes: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
  isSettled: boolean;
  /** Sent with others it was refused: on its own we shall see whose fault it was. */
  isAlone: boolean;
}

/** Bound of one request: brokers take batches of 1 MiB by default. */
const mostBytes = 900_000;
const mostRecords = 1_000;
/** Largest record with its key and headers. */
export const largestRecord = 1_020_000;
const longestPauseMs = 1_000;
/** Answers after which sending the same again cannot help. */
const final =
  /AUTHORIZATION|MESSAGE_TOO_LARGE|RECORD_LIST_TOO_LARGE|INVALID_(RECORD|TOPIC|REQUIRED|TIMESTAMP)|POLICY_VIOLATION|CORRUPT/;

/**
 * One request under way at a time, with all that came meanwhile in the next one: what is published in order stays
 * in order, and a sequence number never stands for two records.
 */
export class KafkaPublisher {
  readonly #client: KafkaClient;
  readonly #logger: Logger;
  #pending: Pending[] = [];
  #head = 0;
  #producer: KafkaProducer | undefined;
  #isRunning = false;
  #failedBecause: string | undefined;
  #sendingSince: number | undefined;
  #onIdle: (() => void) | undefined;
  #spread = 0;

  constructor(client: KafkaClient, logger: Logger) {
    this.#client = client;
    this.#logger = logger;
  }

  /** Why nothing can be published at the moment, if so. */
  get stalledBecause(): string | undefined {
    if (this.#failedBecause !== undefined) return this.#failedBecause;
    const waitedMs = this.#sendingSince === undefined ? 0 : Date.now() - this.#sendingSince;
    return waitedMs > 3_000 ? `no answer to a publish for ${Math.round(waitedMs / 1000)} s` : undefined;
  }

  /** For records without a key: those of one number go to one partition, in their order. */
  nextSpread(): number {
    this.#spread += 1;
    return this.#spread;
  }

  /** Resolves when all replicas have the record. A deadline that passes does not take it back. */
  publish(
    topic: string,
    record: OutgoingRecord,
    timeoutMs: number,
    spread: number,
    size: RecordSize = 'bounded',
  ): Promise<void> {
    const bytes = sizeOf(record);
    const isLarge = bytes > largestRecord;
    if (isLarge && size === 'bounded') {
      return Promise.reject(
        new MessageTooLargeError(`The message has ${bytes} bytes; Kafka takes ${largestRecord}.`),
      );
    }
    return new Promise<void>((resolve, reject) => {
      const settle = (outcome: () => void): void => {
        if (pending.isSettled) return;
        pending.isSettled = true;
        clearTimeout(timer);
        outcome();
      };
      const pending: Pending = {
        topic,
        record,
        spread,
        bytes,
        resolve: () => settle(resolve),
        reject: (error) => settle(() => reject(error)),
        isSettled: false,
        isAlone: isLarge,
        isCompressed: isLarge && size === 'compressed',
      };
      const timer = setTimeout(() => {
        pending.reject(new MelangeError('PUBLISH_TIMEOUT', `Kafka did not confirm within ${timeoutMs} ms.`));
      }, timeoutMs);
      this.#pending.push(pending);
      if (!this.#isRunning) void this.#run();
    });
  }

  /** Waits for what was published, up to its deadlines. */
  async close(): Promise<void> {
    if (this.#isRunning) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve;
      });
    }
    await this.#producer?.close();
    this.#producer = undefined;
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    // What is published in this turn goes together.
    await Promise.resolve();
    let failures = 0;
    for (let batch = this.#next(); batch.length > 0; batch = this.#next()) {
      const error = await this.#send(batch);
      if (error === undefined) {
        failures = 0;
        continue;
      }
      failures += 1;
      await this.#putBack(batch, error);
      await pause(Math.min(longestPauseMs, 50 * 2 ** failures), batch);
    }
    this.#isRunning = false;
    this.#onIdle?.();
  }

  #next(): Pending[] {
    const batch: Pending[] = [];
    let bytes = 0;
    for (; this.#head < this.#pending.length; this.#head += 1) {
      const next = this.#pending[this.#head] as Pending;
      if (next.isSettled) continue;
      const isFull = batch.length >= mostRecords || bytes + next.bytes > mostBytes;
      if (batch.length > 0 && (isFull || next.isAlone || batch[0]?.isAlone === true)) break;
      batch.push(next);
      bytes += next.bytes;
    }
    this.#pending = this.#pending.slice(this.#head);
    this.#head = 0;
    return batch;
  }

  /** Answers what went wrong, if anything did. */
  async #send(batch: readonly Pending[]): Promise<unknown> {
    this.#sendingSince = Date.now();
    try {
      this.#producer ??= await this.#client.openProducer();
      await this.#producer.send(byTopic(batch), batch[0]?.isCompressed);
      this.#failedBecause = undefined;
      for (const { resolve } of batch) resolve();
      return undefined;
    } catch (error) {
      // Its sequence numbers may stand for records that did arrive: others sent under them would be taken for
      // repetitions and dropped.
      void this.#producer?.close();
      this.#producer = undefined;
      return error;
    } finally {
      this.#sendingSince = undefined;
    }
  }

  async #putBack(batch: readonly Pending[], error: unknown): Promise<void> {
    const type = typeOf(error) ?? '';
    const message = error instanceof Error ? error.message : String(error);
    const isOne = batch.length === 1;
    const mayBeMissing = type === 'UNKNOWN_TOPIC_OR_PARTITION';
    if (isOne && (final.test(type) || (mayBeMissing && (await this.#isMissing(batch[0] as Pending))))) {
      batch[0]?.reject(error);
      return;
    }
    if (!final.test(type) && !mayBeMissing) this.#failedBecause = message;
    this.#logger.warn('A publish was not confirmed; it is sent again', {
      messages: batch.length,
      reason: message,
    });
    for (const one of batch) one.isAlone ||= final.test(type) || mayBeMissing;
    this.#pending.unshift(...batch);
  }

  async #isMissing({ topic }: Pending): Promise<boolean> {
    try {
      return (await this.#client.partitionsOf(topic)) === undefined;
    } catch {
      return false;
    }
  }
}

function byTopic(batch: readonly Pending[]): OutgoingBatch[] {
  const topics = new Map<string, { record: OutgoingRecord; spread: number }[]>();
  for (const { topic, record, spread } of batch) {
    const records = topics.get(topic) ?? [];
    topics.set(topic, records);
    records.push({ record, spread });
  }
  return [...topics].map(([topic, records]) => ({ topic, records }));
}

function sizeOf({ key, value, headers }: OutgoingRecord): number {
  let bytes = (key?.length ?? 0) + (value?.length ?? 0) + 64;
  for (const [name, header] of Object.entries(headers)) {
    bytes += Buffer.byteLength(name) + 8;
    for (const one of Array.isArray(header) ? header : [header]) bytes += (one?.length ?? 0) + 8;
  }
  return bytes;
}

/** Ends early when nobody waits for the batch any more. */
async function pause(milliseconds: number, batch: readonly Pending[]): Promise<void> {
  const end = Date.now() + milliseconds;
  while (Date.now() < end && batch.some(({ isSettled }) => !isSettled))
    await new Promise((resolve) => setTimeout(resolve, Math.min(50, milliseconds)));
}
