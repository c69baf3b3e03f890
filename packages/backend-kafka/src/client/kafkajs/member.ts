import type { Consumer, Kafka, PartitionAssigner } from 'kafkajs';
import type { KafkaSettings } from '../../options.ts';
import type { Commit, GroupListener, GroupMember } from '../contract.ts';
import { coPartitioned } from './assigner.ts';
import { asMelangeError, bounded } from './errors.ts';
import { HeartbeatInterval } from './heartbeat-interval.ts';
import { type CommitRequest, recordsOf, requestOf } from './records.ts';
import { retry } from './retry.ts';

/** Bounds how long a fetch waits at the broker, and with it how soon a resumed partition is read. */
const maxFetchMs = 200;

/** A consumer of kafkajs that commits by itself never, and drains before it joins again. */
export class Member implements GroupMember {
  readonly #consumer: Consumer;
  readonly #topics: readonly string[];
  readonly #listener: GroupListener;
  /** kafkajs gives it to its batch handler only. It commits for the generation of the moment, and never joins again. */
  #commitNow: ((offsets: CommitRequest) => Promise<void>) | undefined;
  #isOver = false;
  #starting: Promise<void> | undefined;

  constructor(
    kafka: Kafka,
    settings: KafkaSettings,
    groupId: string,
    topics: readonly string[],
    listener: GroupListener,
  ) {
    this.#topics = topics;
    this.#listener = listener;
    const interval = new HeartbeatInterval(settings.heartbeatIntervalMs);
    this.#consumer = kafka.consumer({
      groupId,
      sessionTimeout: settings.sessionTimeoutMs,
      rebalanceTimeout: settings.sessionTimeoutMs + settings.revocationDeadlineMs,
      heartbeatInterval: interval as unknown as number,
      maxWaitTimeInMs: maxFetchMs,
      metadataMaxAge: settings.metadataMaxAgeMs,
      allowAutoTopicCreation: false,
      partitionAssigners: [this.#assigner()],
      // A crashed member is replaced, never restarted behind our back.
      retry: { ...retry, restartOnFailure: async () => false },
    });
    const { GROUP_JOIN, HEARTBEAT, CRASH, START_BATCH_PROCESS, REQUEST } = this.#consumer.events;
    this.#consumer.on(GROUP_JOIN, ({ payload }) => {
      // In its first joining kafkajs does not yet hear that it is to stop.
      if (this.#isOver) setImmediate(() => void this.#leave());
      else listener.onAssigned(payload.memberAssignment);
    });
    // An answer may have waited here for as long as this process was stopped.
    let answeredAfterMs = 0;
    this.#consumer.on(REQUEST, ({ payload: { apiName, sentAt } }) => {
      if (apiName === 'Heartbeat') answeredAfterMs = Math.max(0, Date.now() - sentAt);
    });
    this.#consumer.on(HEARTBEAT, () => {
      interval.sent();
      listener.onHeartbeat(answeredAfterMs);
    });
    this.#consumer.on(START_BATCH_PROCESS, ({ payload }) => {
      // What kafkajs hands to nobody.
      const { topic, partition, batchSize, lastOffset, highWatermark } = payload;
      if (batchSize === 0 && !this.#isOver)
        void listener.onRecords(topic, partition, [], Number(lastOffset), Number(highWatermark));
    });
    this.#consumer.on(CRASH, ({ payload }) => this.#crash(payload.error));
  }

  start(): Promise<void> {
    this.#starting ??= this.#start();
    return this.#starting;
  }

  async commit(commits: readonly Commit[]): Promise<void> {
    // Nothing was received yet, so there is nothing to commit.
    if (this.#commitNow === undefined) return;
    await this.#commitNow(requestOf(commits));
  }

  pause(topic: string, partition: number): void {
    if (!this.#isOver) this.#consumer.pause([{ topic, partitions: [partition] }]);
  }

  resume(topic: string, partition: number): void {
    if (!this.#isOver) this.#consumer.resume([{ topic, partitions: [partition] }]);
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    // While it joins, kafkajs would not hear that it is to stop, and run on.
    await bounded(Promise.resolve(this.#starting));
    await this.#leave();
  }

  async #start(): Promise<void> {
    try {
      await this.#consumer.connect();
      await this.#consumer.subscribe({ topics: [...this.#topics], fromBeginning: true });
    } catch (error) {
      this.#isOver = true;
      await this.#leave();
      throw asMelangeError(error);
    }
    await this.#consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      partitionsConsumedConcurrently: 1,
      eachBatch: async ({ batch, resolveOffset, commitOffsetsIfNecessary, isStale }) => {
        this.#commitNow = commitOffsetsIfNecessary as (offsets: CommitRequest) => Promise<void>;
        if (this.#isOver || isStale()) return;
        const { topic, partition, highWatermark } = batch;
        // The broker answers with whole batches, from the one on that has the offset which was asked for.
        const { fetchedOffset } = batch as unknown as { readonly fetchedOffset: string };
        const records = recordsOf(topic, partition, batch.messages, Number(fetchedOffset));
        const lastOffset = batch.lastOffset();
        await this.#listener.onRecords(topic, partition, records, Number(lastOffset), Number(highWatermark));
        resolveOffset(lastOffset);
      },
    });
  }

  #leave(): Promise<void> {
    return bounded(this.#consumer.disconnect());
  }

  #crash(error: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#listener.onCrash(asMelangeError(error));
  }

  /**
   * kafkajs tells of a rebalance only after it has joined again, when others already have the partitions. Each
   * joining begins with a look for the coordinator: there we wait until what was handed over is finished.
   */
  #assigner(): PartitionAssigner {
    return (config) => {
      const { cluster } = config;
      const find = cluster.findGroupCoordinator.bind(cluster);
      cluster.findGroupCoordinator = async (group) => {
        if (!this.#isOver) await this.#listener.beforeJoin();
        return find(group);
      };
      return coPartitioned(config);
    };
  }
}
