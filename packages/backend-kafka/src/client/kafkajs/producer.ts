import { gzipSync } from 'node:zlib';
import type { Broker, Cluster } from 'kafkajs';
import { typeOf } from '../../errors.ts';
import { type BatchOrigin, writeRecordBatch } from '../../wire/write-batch.ts';
import type { OutgoingBatch } from '../contract.ts';
import { asMelangeError, bounded } from './errors.ts';
import { canProduce, lookByTopic, newProducer, produce } from './internals.ts';
import { type PartitionBatch, readProduceResponse, writeProduceRequest } from './produce-request.ts';
import type { SlowProducer } from './slow-producer.ts';

/** What a producer works with. */
export interface ProducerContext {
  /** Makes a cluster with connections of its own, which is not connected yet. */
  readonly openCluster: () => Cluster;
  /** Number of the broker that leads a partition, as far as it is known. */
  readonly leaderOf: (topic: string, partition: number) => Promise<number>;
  /** The leader of a partition may be another one now. */
  readonly forgetLeaders: (topic: string) => void;
  /** How long in-sync replicas may take, in ms. */
  readonly timeoutMs: number;
  readonly onSlow: (reason: string) => void;
  readonly slowProducer: () => SlowProducer;
}

type Identity = Omit<BatchOrigin, 'firstSequence'>;

/** What was written to a partition. */
interface PartitionState {
  identity: Identity | undefined;
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
 * connections of its own, until it works again: a broker answers the requests of a connection one after the other. The calls for a
 * partition wait for each other: two batches under the same numbers are one to a broker, and the second would be lost.
 */
export class Producer {
  readonly #context: ProducerContext;
  readonly #partitions = new Map<string, PartitionState>();
  readonly #clusters = new Map<'steady' | 'in trouble', Cluster>();
  #identity: Promise<Identity> | undefined;
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
      throw asMelangeError(error);
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#clusters.values()].map((cluster) => bounded(cluster.disconnect())));
    this.#clusters.clear();
  }

  async #send(batch: OutgoingBatch, state: PartitionState): Promise<void> {
    const { topic, partition, items, isCompressed } = batch;
    const leader = await this.#context.leaderOf(topic, partition);
    const kind = state.hasFailed ? 'in trouble' : 'steady';
    const broker = await this.#brokerOf(kind, leader, topic);
    if (!canProduce(broker)) {
      this.#context.onSlow('each partition is written to by a producer of its own');
      return this.#context.slowProducer().send(batch);
    }
    // Other records under the same numbers would be taken for a repetition.
    const isOther = state.open !== undefined && !isSame(state.open, items);
    if (state.identity === undefined || isOther) {
      state.identity = await (isOther ? newProducer(broker) : this.#sharedIdentity(broker));
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
      kind === 'steady'
        ? await this.#together(leader, { topic, partition, bytes })
        : (await this.#request(broker, [{ topic, partition, bytes }])).get(`${topic}/${partition}`);
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

  #sharedIdentity(broker: Broker): Promise<Identity> {
    this.#identity ??= newProducer(broker);
    this.#identity.catch(() => {
      this.#identity = undefined;
    });
    return this.#identity;
  }

  async #brokerOf(kind: 'steady' | 'in trouble', leader: number, topic: string): Promise<Broker> {
    let cluster = this.#clusters.get(kind);
    if (cluster === undefined) {
      cluster = this.#context.openCluster();
      this.#clusters.set(kind, cluster);
    }
    const node = { nodeId: String(leader) };
    try {
      return await cluster.findBroker(node);
    } catch (error) {
      if ((error as Error).name !== 'KafkaJSBrokerNotFound' && !isUnconnected(error)) throw error;
      await cluster.connect();
      lookByTopic(cluster, topic);
      await cluster.refreshMetadata();
      return cluster.findBroker(node);
    }
  }

  #together(leader: number, batch: PartitionBatch): Promise<string | undefined> {
    return new Promise((resolve, reject) => {
      const waiting = this.#waiting.get(leader) ?? [];
      this.#waiting.set(leader, waiting);
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
    for (const [leader, batches] of waiting) void this.#sendTogether(leader, batches);
  }

  async #sendTogether(leader: number, batches: readonly Waiting[]): Promise<void> {
    try {
      const broker = await this.#brokerOf('steady', leader, batches[0]?.topic ?? '');
      const results = await this.#request(broker, batches);
      for (const { topic, partition, resolve } of batches) resolve(results.get(`${topic}/${partition}`));
    } catch (error) {
      for (const { reject } of batches) reject(error);
    }
  }

  async #request(
    broker: Broker,
    batches: readonly PartitionBatch[],
  ): Promise<ReturnType<typeof readProduceResponse>> {
    return readProduceResponse(await produce(broker, writeProduceRequest(batches, this.#context.timeoutMs)));
  }
}

function isUnconnected(error: unknown): boolean {
  return typeOf(error) === undefined;
}

function isSame(left: OutgoingBatch['items'], right: OutgoingBatch['items']): boolean {
  return left.length === right.length && left.every((item, place) => item === right[place]);
}
