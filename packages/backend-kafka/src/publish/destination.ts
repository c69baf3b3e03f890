import { reconnectDelayMs, type Troubles } from '@melange/backend-kit';
import { type KafkaClient, type KafkaProducer, typeOf } from '../client/index.ts';
import { Deadlines } from './deadlines.ts';
import { type Outgoing, Pending } from './pending.ts';

/** What a destination works with. */
export interface DestinationContext {
  readonly client: KafkaClient;
  readonly troubles: Troubles;
  /** Nothing was published for a while: the destination is closed, and must be forgotten. */
  readonly onUnused: (destination: Destination) => void;
}

/** Bound of one request: brokers take batches of 1 MiB by default. */
const maxRequestBytes = 900_000;
const maxRequestRecords = 1_000;
const maxPauseMs = 1_000;
/** An answer that takes longer is a trouble. */
const maxAnswerMs = 3_000;
/** A producer keeps connections open for this long without anything to send. */
const maxUnusedMs = 60_000;
/** The same batch fails so often with one producer before another one is opened. */
const maxFailuresOfProducer = 3;
/** Slots at the front of the queue that may be done with. */
const maxDoneSlots = 4_096;
/** Answers after which sending the same again cannot help. */
const final =
  /AUTHORIZATION|MESSAGE_TOO_LARGE|RECORD_LIST_TOO_LARGE|INVALID_(RECORD|TOPIC|REQUIRED|TIMESTAMP)|POLICY_VIOLATION|CORRUPT/;
/** Answers after which the sequence numbers of a producer stand for something else at the broker. */
const sequenceIsBroken = /SEQUENCE|PRODUCER_(ID|EPOCH|FENCED)|UNKNOWN_PRODUCER/;

/**
 * One topic that records are published to, with a producer of its own: a topic that does not answer, or refuses, holds
 * up no other one.
 *
 * One request is under way at a time, with all that came meanwhile in the next one: records that are published in order
 * stay in order. A request that is not confirmed is sent again with the same records by the same producer, so that the
 * broker drops the repetition of a request that had arrived.
 */
export class Destination {
  readonly topic: string;
  readonly #context: DestinationContext;
  readonly #subject: string;
  /** Of all records here, by one timer. */
  readonly #deadlines = new Deadlines();
  #pending: Pending[] = [];
  #head = 0;
  #producer: KafkaProducer | undefined;
  #isRunning = false;
  #unsettled = 0;
  #isClosed = false;
  #onSettled: (() => void) | undefined;
  #unused: NodeJS.Timeout | undefined;

  constructor(topic: string, context: DestinationContext) {
    this.topic = topic;
    this.#context = context;
    this.#subject = `publishing to topic "${topic}"`;
  }

  add(outgoing: Outgoing): void {
    this.#unsettled += 1;
    this.#pending.push(new Pending(this.topic, outgoing, this.#deadlines));
    if (this.#isRunning) return;
    clearTimeout(this.#unused);
    this.#isRunning = true;
    void this.#run();
  }

  /** To be called once for each record that was added. */
  settled(): void {
    this.#unsettled -= 1;
    if (this.#unsettled === 0) this.#onSettled?.();
  }

  /** Waits for the records under way, up to their deadlines. A request that nobody waits for any more is given up. */
  async close(): Promise<void> {
    if (this.#unsettled > 0)
      await new Promise<void>((resolve) => {
        this.#onSettled = resolve;
      });
    this.#isClosed = true;
    clearTimeout(this.#unused);
    this.#context.troubles.forget(this.#subject);
    await this.#leaveProducer([]);
  }

  async #run(): Promise<void> {
    // What is published in this turn goes together.
    await Promise.resolve();
    let failures = 0;
    let again: Pending[] = [];
    for (;;) {
      // Looked for in the turn that ends the loop: what was added while it waited is not left behind.
      const batch = again.length > 0 ? again : this.#next();
      if (batch.length === 0) break;
      const error = await this.#send(batch);
      failures = error === undefined ? 0 : failures + 1;
      again = error === undefined ? [] : await this.#afterFailure(batch, error, failures);
    }
    this.#isRunning = false;
    if (this.#isClosed) return;
    this.#unused = setTimeout(() => {
      this.#context.onUnused(this);
      void this.close();
    }, maxUnusedMs);
    this.#unused.unref();
  }

  #next(): Pending[] {
    const batch: Pending[] = [];
    let bytes = 0;
    for (; this.#head < this.#pending.length; this.#head += 1) {
      const next = this.#pending[this.#head] as Pending;
      if (next.isSettled) continue;
      const isFull = batch.length >= maxRequestRecords || bytes + next.bytes > maxRequestBytes;
      if (batch.length > 0 && (isFull || next.isAlone || batch[0]?.isAlone === true)) break;
      batch.push(next);
      bytes += next.bytes;
    }
    // Each slot is moved a constant number of times, however many wait.
    if (this.#head === this.#pending.length) {
      this.#pending = [];
      this.#head = 0;
    } else if (this.#head > maxDoneSlots && this.#head * 2 > this.#pending.length) {
      this.#pending = this.#pending.slice(this.#head);
      this.#head = 0;
    }
    return batch;
  }

  /** Answers what went wrong, if anything did. */
  async #send(batch: readonly Pending[]): Promise<unknown> {
    const { client, troubles } = this.#context;
    const late = setTimeout(() => {
      if (!this.#isClosed) troubles.begin(this.#subject, `no answer for ${maxAnswerMs} ms`);
    }, maxAnswerMs);
    let producer = this.#producer;
    try {
      producer ??= await client.openProducer();
      this.#producer = producer;
      await producer.send(this.topic, batch, batch[0]?.isCompressed);
      troubles.end(this.#subject);
      for (const pending of batch) pending.resolve();
      return undefined;
    } catch (error) {
      return error;
    } finally {
      clearTimeout(late);
      // Closed meanwhile, kafkajs may have connected again for it.
      if (this.#isClosed) await producer?.close();
    }
  }

  /** Answers what of the batch is to be sent again before anything else. */
  async #afterFailure(batch: Pending[], error: unknown, failures: number): Promise<Pending[]> {
    if (this.#isClosed) return [];
    const type = typeOf(error) ?? '';
    const mayBeMissing = type === 'UNKNOWN_TOPIC_OR_PARTITION';
    const isFinal = final.test(type) || (mayBeMissing && (await this.#isMissing()));
    if (isFinal) {
      // Some of its partitions may have taken their records under sequence numbers that others would get.
      await this.#leaveProducer(batch);
      if (mayBeMissing || batch.length === 1) for (const pending of batch) pending.reject(error);
      else this.#putBackAlone(batch);
      return [];
    }
    const reason = error instanceof Error ? error.message : String(error);
    this.#context.troubles.begin(this.#subject, reason);
    await pause(Math.min(maxPauseMs, reconnectDelayMs(failures)), batch);
    const isWhole = !batch.some(({ isSettled }) => isSettled);
    if (!isWhole || sequenceIsBroken.test(type) || failures % maxFailuresOfProducer === 0)
      await this.#leaveProducer(batch);
    return isWhole ? batch : batch.filter(({ isSettled }) => !isSettled);
  }

  #putBackAlone(batch: readonly Pending[]): void {
    for (const one of batch) one.isAlone = true;
    this.#pending = [...batch, ...this.#pending.slice(this.#head)];
    this.#head = 0;
  }

  /** Its sequence numbers may stand for records that did arrive: others under them would be taken for repetitions. */
  async #leaveProducer(batch: readonly Pending[]): Promise<void> {
    const producer = this.#producer;
    this.#producer = undefined;
    for (const pending of batch) pending.partition = undefined;
    await producer?.close();
  }

  async #isMissing(): Promise<boolean> {
    try {
      return (await this.#context.client.partitionsOf(this.topic)) === undefined;
    } catch {
      return false;
    }
  }
}

/** Ends early when nobody waits for the batch any more. */
async function pause(milliseconds: number, batch: readonly Pending[]): Promise<void> {
  const end = performance.now() + milliseconds;
  while (performance.now() < end && batch.some(({ isSettled }) => !isSettled))
    await new Promise((resolve) => setTimeout(resolve, Math.min(50, milliseconds)));
}
