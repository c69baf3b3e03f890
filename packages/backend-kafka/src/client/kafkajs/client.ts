import type { Logger } from '@melange/core';
import {
  type Admin,
  type Cluster,
  Kafka,
  type KafkaMessage,
  logLevel,
  type PartitionAssigner,
} from 'kafkajs';
import type { KafkaBackendOptions, KafkaSettings } from '../../options.ts';
import type { IncomingRecord } from '../../wire/message.ts';
import type { Commit, GroupListener, GroupMember, KafkaProducer, PartitionRange } from '../contract.ts';
import { asMelangeError, bounded, isConnectionProblem, isSettling, typeOf } from '../errors.ts';
import { coPartitioned } from './assigner.ts';
import { readEveryCompression } from './compression.ts';
import { readFetches } from './fetch-response.ts';
import { beatWhenTimeIsSetBack } from './heartbeats.ts';
import { Member } from './member.ts';
import { writeNullHeaders } from './null-headers.ts';
import { openProducer } from './producer.ts';
import { recordsOf, requestOf } from './records.ts';
import { restWhenIdle } from './request-queue.ts';
import { retry } from './retry.ts';
import { hidden, socketFactory } from './sockets.ts';

const lookForLeadersEveryMs = 15;
const settlingAttempts = 40;
const settlingPauseMs = 50;
/** What the broker answers to a commit from outside while the group has members. */
const membership = /^(UNKNOWN_MEMBER_ID|ILLEGAL_GENERATION|REBALANCE_IN_PROGRESS)$/;

/** kafkajs as this adapter uses it, and nothing else of it: another client would replace this folder. */
export class KafkaClient {
  readonly #kafka: Kafka;
  readonly #settings: KafkaSettings;
  #admin: Promise<Admin> | undefined;
  #lastQuestion: Promise<unknown> = Promise.resolve();
  /** For what kafkajs does only as a member of a group, and this adapter without one: reading. */
  #cluster: Promise<Cluster> | undefined;

  constructor(options: KafkaBackendOptions, settings: KafkaSettings, logger: Logger) {
    const { ssl, sasl } = options;
    this.#settings = settings;
    readEveryCompression();
    restWhenIdle();
    beatWhenTimeIsSetBack();
    writeNullHeaders();
    this.#kafka = new Kafka({
      brokers: settings.brokers.map(hidden),
      clientId: settings.clientId,
      connectionTimeout: settings.connectTimeoutMs,
      requestTimeout: settings.requestTimeoutMs,
      retry,
      ...(ssl === undefined ? {} : { ssl }),
      ...(sasl === undefined ? {} : { sasl }),
      socketFactory: socketFactory(options.socketFactory),
      logLevel: logLevel.WARN,
      // What kafkajs calls an error it mostly mends by itself; what it does not reaches us as an error.
      logCreator:
        () =>
        ({ namespace, log }) =>
          logger.debug(`kafkajs: ${log.message}`, { namespace, error: log.error }),
    });
  }

  /** Number of partitions; `undefined` when there is no such topic. */
  async partitionsOf(topic: string): Promise<number | undefined> {
    return this.#withAdmin(async (admin) => {
      try {
        const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
        return topics[0]?.partitions.length;
      } catch (error) {
        // There can be none of a name that Kafka does not take.
        if (/^(UNKNOWN_TOPIC_OR_PARTITION|INVALID_TOPIC_EXCEPTION)$/.test(typeOf(error) ?? ''))
          return undefined;
        throw error;
      }
    });
  }

  async brokerCount(): Promise<number> {
    return this.#withAdmin(async (admin) => (await admin.describeCluster()).brokers.length);
  }

  /** Does nothing when it exists. */
  async createTopic(
    topic: string,
    partitions: number,
    replicationFactor: number,
    config: Readonly<Record<string, string>> = {},
  ): Promise<void> {
    const configEntries = Object.entries(config).map(([name, value]) => ({ name, value }));
    await this.#withAdmin(async (admin) => {
      await admin.createTopics({
        topics: [{ topic, numPartitions: partitions, replicationFactor, configEntries }],
        waitForLeaders: false,
      });
    });
    const end = performance.now() + this.#settings.requestTimeoutMs;
    while (!(await this.#hasLeaders(topic)) && performance.now() < end)
      await new Promise((resolve) => setTimeout(resolve, lookForLeadersEveryMs));
  }

  /** Does nothing when it does not exist. */
  async deleteTopic(topic: string): Promise<void> {
    // kafkajs asks for a second or more before it believes that there is nothing to delete.
    if ((await this.partitionsOf(topic)) === undefined) return;
    await this.#withAdmin(async (admin) => {
      try {
        await admin.deleteTopics({ topics: [topic] });
      } catch (error) {
        if (typeOf(error) !== 'UNKNOWN_TOPIC_OR_PARTITION') throw error;
      }
    });
  }

  /** A group that somebody is a member of stays. */
  async deleteGroup(groupId: string): Promise<void> {
    await this.#withAdmin(async (admin) => {
      await admin.deleteGroups([groupId]).catch((error: unknown) => {
        if ((error as { name?: string }).name !== 'KafkaJSDeleteGroupsError') throw error;
      });
    });
  }

  /** By partition; `undefined` when there is no such topic. */
  async rangesOf(topic: string): Promise<ReadonlyMap<number, PartitionRange> | undefined> {
    // kafkajs asks for a second or more before it believes that there is no such topic.
    if ((await this.partitionsOf(topic)) === undefined) return undefined;
    try {
      const ranges = await this.#withAdmin((admin) => admin.fetchTopicOffsets(topic));
      return new Map(
        ranges.map(({ partition, low, high }) => [partition, { low: Number(low), high: Number(high) }]),
      );
    } catch (error) {
      if (typeOf(error) === 'UNKNOWN_TOPIC_OR_PARTITION') return undefined;
      throw error;
    }
  }

  async committedBy(groupId: string, topics: readonly string[]): Promise<Commit[]> {
    return this.#withAdmin(async (admin) => {
      const found = await admin.fetchOffsets({ groupId, topics: [...topics] });
      return found.flatMap(({ topic, partitions }) =>
        partitions.map(({ partition, offset, metadata }) => ({
          topic,
          partition,
          offset: Number(offset),
          metadata: metadata ?? '',
        })),
      );
    });
  }

  /** By partition, the first offset whose record is not older than that; where there is none, the one after the last. */
  async offsetsAt(topic: string, timeMs: number): Promise<ReadonlyMap<number, number>> {
    const found = await this.#withAdmin((admin) => admin.fetchTopicOffsetsByTimestamp(topic, timeMs));
    return new Map(found.map(({ partition, offset }) => [partition, Number(offset)]));
  }

  /** Commits for a group that nobody is a member of; false, and nothing done, when somebody is. */
  async commitFor(groupId: string, commits: readonly Commit[]): Promise<boolean> {
    return this.#withCluster(async (cluster) => {
      const coordinator = await cluster.findGroupCoordinator({ groupId });
      try {
        await coordinator.offsetCommit({
          groupId,
          groupGenerationId: -1,
          memberId: '',
          ...requestOf(commits),
        });
        return true;
      } catch (error) {
        if (membership.test(typeOf(error) ?? '')) return false;
        throw error;
      }
    });
  }

  /** What a partition holds from an offset on, as much as one answer has. Waits for nothing. */
  async read(topic: string, offset: number, partition = 0): Promise<readonly IncomingRecord[]> {
    return this.#withCluster(async (cluster) => {
      await cluster.addTargetTopic(topic);
      await cluster.refreshMetadataIfNecessary();
      const [nodeId] = Object.keys(cluster.findLeaderForPartitions(topic, [partition]));
      const broker = await cluster.findBroker({ nodeId: nodeId as string });
      const { responses } = await broker.fetch({
        maxWaitTime: 0,
        minBytes: 0,
        maxBytes: 1_048_576,
        topics: [{ topic, partitions: [{ partition, fetchOffset: String(offset), maxBytes: 1_048_576 }] }],
      });
      const messages = (responses as FetchResponse[])[0]?.partitions[0]?.messages ?? [];
      const read = messages.filter(({ isControlRecord }) => isControlRecord !== true);
      return recordsOf(topic, partition, read, offset);
    });
  }

  /** Brokers hear of a new topic one after the other, soon. */
  async #hasLeaders(topic: string): Promise<boolean> {
    return this.#withAdmin(async (admin) => {
      try {
        const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
        return topics[0]?.partitions.every(({ leader }) => leader >= 0) === true;
      } catch (error) {
        if (typeOf(error) === 'UNKNOWN_TOPIC_OR_PARTITION' || typeOf(error) === 'LEADER_NOT_AVAILABLE')
          return false;
        throw error;
      }
    });
  }

  openProducer(): Promise<KafkaProducer> {
    return openProducer(this.#kafka, this.#settings);
  }

  join(groupId: string, topics: readonly string[], listener: GroupListener): GroupMember {
    return new Member(this.#kafka, this.#settings, groupId, topics, listener);
  }

  async close(): Promise<void> {
    const [admin, cluster] = [this.#admin, this.#cluster];
    this.#admin = undefined;
    this.#cluster = undefined;
    await Promise.all([
      bounded(Promise.resolve(admin).then((opened) => opened?.disconnect())),
      bounded(Promise.resolve(cluster).then((opened) => opened?.disconnect())),
    ]);
  }

  /** One question after the other: kafkajs mixes up the topics of those that are asked at once. */
  #withAdmin<Result>(work: (admin: Admin) => Promise<Result>): Promise<Result> {
    const answer = this.#lastQuestion.then(() => this.#ask(work));
    this.#lastQuestion = answer.catch(() => undefined);
    return answer;
  }

  async #ask<Result>(work: (admin: Admin) => Promise<Result>): Promise<Result> {
    for (let left = settlingAttempts; ; left -= 1) {
      this.#admin ??= this.#openAdmin();
      const opening = this.#admin;
      try {
        return await work(await opening);
      } catch (error) {
        const isPoisoned = typeOf(error) === 'UNKNOWN_TOPIC_OR_PARTITION';
        // An admin that has once looked at a topic looks at it again each time, and fails for it when it is gone.
        const mayHelp = isPoisoned ? left === settlingAttempts : isSettling(error);
        if (this.#admin === opening && (isPoisoned || isConnectionProblem(error))) {
          this.#admin = undefined;
          void opening.then((admin) => admin.disconnect()).catch(() => undefined);
        }
        if (left === 0 || !mayHelp) throw asMelangeError(error);
        await new Promise((resolve) => setTimeout(resolve, settlingPauseMs));
      }
    }
  }

  /** After a failure another one is opened. */
  async #withCluster<Result>(work: (cluster: Cluster) => Promise<Result>): Promise<Result> {
    for (let left = settlingAttempts; ; left -= 1) {
      this.#cluster ??= this.#openCluster();
      const opening = this.#cluster;
      try {
        return await work(await opening);
      } catch (error) {
        if (this.#cluster === opening) this.#cluster = undefined;
        void opening.then((opened) => opened.disconnect()).catch(() => undefined);
        if (left === 0 || !isSettling(error)) throw asMelangeError(error);
        await new Promise((resolve) => setTimeout(resolve, settlingPauseMs));
      }
    }
  }

  async #openAdmin(): Promise<Admin> {
    const admin = this.#kafka.admin({ retry });
    await admin.connect();
    return admin;
  }

  async #openCluster(): Promise<Cluster> {
    let captured: Cluster | undefined;
    const capture: PartitionAssigner = (config) => {
      captured = config.cluster;
      return coPartitioned(config);
    };
    this.#kafka.consumer({ groupId: 'melange-reader', partitionAssigners: [capture], retry });
    const cluster = captured as unknown as Cluster;
    readFetches(cluster);
    await cluster.connect();
    return cluster;
  }
}

interface FetchResponse {
  readonly partitions: readonly {
    readonly messages: readonly (KafkaMessage & { readonly isControlRecord?: boolean })[];
  }[];
}
