import { gzipSync } from 'node:zlib';
import { type BatchOrigin, writeRecordBatch } from '../wire/write-batch.ts';
import type { OutgoingBatch } from './contract.ts';
import { type PartitionBatch, readProduceResponse, writeProduceRequest } from './produce-request.ts';

/** Connections that batches go by: those of partitions in trouble are apart, as a broker answers the requests of a connection one by one. */
export type ProduceLane = 'steady' | 'in trouble';

/** Id of a producer, and its epoch. */
export type ProducerIdentity = Omit<BatchOrigin, 'firstSequence'>;

/** What a producer works with. */
export interface ProducerContext {
  /** Number of the broker that leads a partition, as far as it is known. */
  readonly leaderOf: (topic: string, partition: number) => Promise<number>;
  /** The leader of a partition may be another one now. */
  readonly forgetLeaders: (topic: string) => void;
  /** Sends the body of a produce request of the version 7; resolves with that of its answer. */
  readonly produce: (node: number, lane: ProduceLane, body: Buffer) => Promise<Buffer>;
  /** A producer id of the cluster, used by nobody else. */
  readonly newProducer: (node: number, lane: ProduceLane) => Promise<ProducerIdentity>;
  /** How long in-sync replicas may take, in ms. */
  readonly timeoutMs: number;
  /** Sends the batch in another way, where the client cannot `produce`. */
  readonly instead?:
    | ((node: number, lane: ProduceLane, topic: string) => Promise<OtherWay | undefined>)
    | undefined;
}

type OtherWay = (batch: OutgoingBatch) => Promise<void>;

/** What was written to a partition. */
interface PartitionState {
  identity: ProducerIdentity | undefined;
  /** Number of the next record under this identity. */
  sequence: number;
  /** Records whose sending has not succeeded: under their numbers the broker may know them already. */
  open: OutgoingBatch['items'] | undefined;
  hasFailed: boolean;
  /** Resolves when the last call has its answer. */
  over: Promise<unknown>;
}

/** A batch that waits for the request of its broker. */
interface Waiting extends PartitionBatch {
  readonly resolve: (error: string | undefined) => void;
  readonly reject: (error: unknown) => void;
}

/** Answers after which the numbers of a producer stand for something else at the broker. */
const identityIsBroken = /SEQUENCE|PRODUCER_(ID|EPOCH|FENCED)|UNKNOWN_PRODUCER/;
const maxSequence = 2 ** 31;

/**
 * Writes to partitions, idempotently. Batches of one turn share one request for each broker. A partition that failed goes on alone, on
 * connections of its own, until it works again. The calls for a
 * partition wait for each other: two batches under the same numbers are one to a broker, and the second would be lost.
 */
export class Producer {
  readonly #context: ProducerContext;
  readonly #partitions = new Map<string, PartitionState>();
  #identity: Promise<ProducerIdentity> | undefined;
  #waiting = new Map<number, Waiting[]>();
  #isFlushDue = false;

  constructor(context: ProducerContext) {
    this.#context = context;
  }

  /** As `KafkaClient.send`. */
  async send(batch: OutgoingBatch): Promise<void> {
    const { topic, partition } = batch;
    const place = `${topic}/${partition}`;
    let state = this.#partitions.get(place);
    if (state === undefined) {
      state = {
        identity: undefined,
        sequence: 0,
        open: undefined,
        hasFailed: false,
        over: Promise.resolve(),
      };
      this.#partitions.set(place, state);
    }
    const known = state;
    const sending = known.over.then(() => this.#send(batch, known));
    state.over = sending.catch(() => undefined);
    try {
      await sending;
      state.hasFailed = false;
    } catch (error) {
      state.hasFailed = true;
      this.#context.forgetLeaders(topic);
      throw error;
    }
  }

  async #send(batch: OutgoingBatch, state: PartitionState): Promise<void> {
    const { topic, partition, items, isCompressed } = batch;
    const { leaderOf, instead } = this.#context;
    const node = await leaderOf(topic, partition);
    const lane = state.hasFailed ? 'in trouble' : 'steady';
    const otherWay = await instead?.(node, lane, topic);
    if (otherWay !== undefined) return otherWay(batch);
    // Other records under the same numbers would be taken for a repetition.
    const isOther = state.open !== undefined && !isSame(state.open, items);
    if (state.identity === undefined || isOther) {
      state.identity = await (isOther
        ? this.#context.newProducer(node, lane)
        : this.#sharedIdentity(node, lane));
      state.sequence = 0;
    }
    state.open = items;
    const bytes = writeRecordBatch(
      items.map(({ record }) => record),
      { ...state.identity, firstSequence: state.sequence },
      Date.now(),
      isCompressed ? gzipSync : undefined,
    );
    const error =
      lane === 'steady'
        ? await this.#together(node, { topic, partition, bytes })
        : (await this.#request(node, lane, [{ topic, partition, bytes }])).get(`${topic}/${partition}`);
    // Of a duplicate the broker says so: it has the records.
    if (error !== undefined && error !== 'DUPLICATE_SEQUENCE_NUMBER') {
      if (identityIsBroken.test(error)) this.#renounce(state);
      throw Object.assign(new Error(error), { type: error });
    }
    state.open = undefined;
    state.sequence = (state.sequence + items.length) % maxSequence;
  }

  /** The next batch of the partition is written under a new identity. */
  #renounce(state: PartitionState): void {
    state.identity = undefined;
    state.open = undefined;
    this.#identity = undefined;
  }

  #sharedIdentity(node: number, lane: ProduceLane): Promise<ProducerIdentity> {
    this.#identity ??= this.#context.newProducer(node, lane);
    this.#identity.catch(() => {
      this.#identity = undefined;
    });
    return this.#identity;
  }

  #together(node: number, batch: PartitionBatch): Promise<string | undefined> {
    return new Promise((resolve, reject) => {
      const waiting = this.#waiting.get(node) ?? [];
      this.#waiting.set(node, waiting);
      waiting.push({ ...batch, resolve, reject });
      if (this.#isFlushDue) return;
      this.#isFlushDue = true;
      // The batches of other partitions come in this turn.
      setImmediate(() => this.#flush());
    });
  }

  #flush(): void {
    const waiting = this.#waiting;
    this.#waiting = new Map();
    this.#isFlushDue = false;
    for (const [node, batches] of waiting) void this.#sendTogether(node, batches);
  }

  async #sendTogether(node: number, batches: readonly Waiting[]): Promise<void> {
    try {
      const results = await this.#request(node, 'steady', batches);
      for (const { topic, partition, resolve } of batches) resolve(results.get(`${topic}/${partition}`));
    } catch (error) {
      for (const { reject } of batches) reject(error);
    }
  }

  async #request(
    node: number,
    lane: ProduceLane,
    batches: readonly PartitionBatch[],
  ): Promise<ReturnType<typeof readProduceResponse>> {
    const body = writeProduceRequest(batches, this.#context.timeoutMs);
    return readProduceResponse(await this.#context.produce(node, lane, body));
  }
}

function isSame(left: OutgoingBatch['items'], right: OutgoingBatch['items']): boolean {
  return left.length === right.length && left.every((item, place) => item === right[place]);
}
