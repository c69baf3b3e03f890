import { Kafka, type KafkaMessage, logLevel } from 'kafkajs';
import { typeOf } from '../../errors.ts';
import type { KafkaSettings } from '../../options.ts';
import { parseAddress } from '../address.ts';
import type {
  Commit,
  GroupListener,
  GroupMember,
  IncomingRecord,
  KafkaClient,
  OutgoingBatch,
  PartitionRange,
} from '../contract.ts';
import type { ClientWatch } from '../index.ts';
import { Connections } from './connections.ts';
import { instrument } from './internals.ts';
import { Member } from './member.ts';
import { Producer } from './producer.ts';
import { recordsOf, requestOf } from './records.ts';
import { retry } from './retry.ts';
import { SlowProducer } from './slow-producer.ts';
import { hidden, socketFactory } from './sockets.ts';

const lookForLeadersEveryMs = 15;
/** What the broker answers to a commit from outside while the group has members. */
const membersOnly = /^(UNKNOWN_MEMBER_ID|ILLEGAL_GENERATION|REBALANCE_IN_PROGRESS)$/;

/** A Kafka client on kafkajs. */
export class KafkajsClient implements KafkaClient {
  readonly #kafka: Kafka;
  readonly #settings: KafkaSettings;
  readonly #producer: Producer;
  #slowProducer: SlowProducer | undefined;
  readonly #connections: Connections;
  /** Leaders of partitions, by topic. */
  readonly #leaders = new Map<string, readonly number[]>();

  /** @param Library kafkajs, or what stands for it in a test. */
  constructor(settings: KafkaSettings, { logger, onSlow }: ClientWatch, Library: typeof Kafka = Kafka) {
    const { ssl, sasl, requestTimeoutMs } = settings;
    this.#settings = settings;
    this.#kafka = new Library({
      brokers: settings.brokers.map((broker) => hidden(parseAddress(broker))),
      clientId: settings.clientId,
      connectionTimeout: settings.connectTimeoutMs,
      requestTimeout: requestTimeoutMs,
      retry,
      ...(ssl === undefined ? {} : { ssl }),
      ...(sasl === undefined ? {} : { sasl }),
      socketFactory: socketFactory(settings.socketFactory),
      logLevel: logLevel.WARN,
      // kafkajs mends most of its errors by itself; the others reach us as errors.
      logCreator:
        () =>
        ({ namespace, log }) =>
          logger.debug(`kafkajs: ${log.message}`, { namespace, error: log.error }),
    });
    instrument(this.#kafka, onSlow);
    this.#connections = new Connections(this.#kafka, settings.metadataMaxAgeMs);
    this.#producer = new Producer({
      openCluster: () => this.#connections.newCluster(),
      leaderOf: (topic, partition) => this.#leaderOf(topic, partition),
      forgetLeaders: (topic) => this.#leaders.delete(topic),
      timeoutMs: requestTimeoutMs,
      onSlow,
      slowProducer: () => {
        this.#slowProducer ??= new SlowProducer(this.#kafka, requestTimeoutMs);
        return this.#slowProducer;
      },
    });
  }

  /** Number of partitions; `undefined` when there is no such topic. */
  async partitionsOf(topic: string): Promise<number | undefined> {
    return this.#connections.withAdmin(async (admin) => {
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
    return this.#connections.withAdmin(async (admin) => (await admin.describeCluster()).brokers.length);
  }

  /** Does nothing when it exists. */
  async createTopic(
    topic: string,
    partitions: number,
    replicationFactor: number,
    config: Readonly<Record<string, string>> = {},
  ): Promise<void> {
    const configEntries = Object.entries(config).map(([name, value]) => ({ name, value }));
    await this.#connections.withAdmin(async (admin) => {
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
    await this.#connections.withAdmin(async (admin) => {
      try {
        await admin.deleteTopics({ topics: [topic] });
      } catch (error) {
        if (typeOf(error) !== 'UNKNOWN_TOPIC_OR_PARTITION') throw error;
      }
    });
  }

  /** A group that somebody is a member of stays. */
  async deleteGroup(groupId: string): Promise<void> {
    await this.#connections.withAdmin(async (admin) => {
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
      const ranges = await this.#connections.withAdmin((admin) => admin.fetchTopicOffsets(topic));
      return new Map(
        ranges.map(({ partition, low, high }) => [partition, { low: Number(low), high: Number(high) }]),
      );
    } catch (error) {
      if (typeOf(error) === 'UNKNOWN_TOPIC_OR_PARTITION') return undefined;
      throw error;
    }
  }

  async committedBy(groupId: string, topics: readonly string[]): Promise<Commit[]> {
    return this.#connections.withAdmin(async (admin) => {
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
    const found = await this.#connections.withAdmin((admin) =>
      admin.fetchTopicOffsetsByTimestamp(topic, timeMs),
    );
    return new Map(found.map(({ partition, offset }) => [partition, Number(offset)]));
  }

  /** Commits for a group that nobody is a member of; false, and nothing done, when somebody is. */
  async commitFor(groupId: string, commits: readonly Commit[]): Promise<boolean> {
    return this.#connections.withCluster(async (cluster) => {
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
        if (membersOnly.test(typeOf(error) ?? '')) return false;
        throw error;
      }
    });
  }

  /** What a partition holds from an offset on, as much as one answer has. Waits for nothing. */
  async read(topic: string, offset: number, partition = 0): Promise<readonly IncomingRecord[]> {
    return this.#connections.withCluster(async (cluster) => {
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
    return this.#connections.withAdmin(async (admin) => {
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

  send(batch: OutgoingBatch): Promise<void> {
    return this.#producer.send(batch);
  }

  join(groupId: string, topics: readonly string[], listener: GroupListener): GroupMember {
    return new Member(this.#kafka, this.#settings, groupId, topics, listener);
  }

  async close(): Promise<void> {
    await Promise.all([this.#connections.close(), this.#producer.close(), this.#slowProducer?.close()]);
  }

  async #leaderOf(topic: string, partition: number): Promise<number> {
    let leaders = this.#leaders.get(topic);
    if (leaders?.[partition] === undefined) {
      const { topics } = await this.#connections.withAdmin((admin) =>
        admin.fetchTopicMetadata({ topics: [topic] }),
      );
      const found: number[] = [];
      for (const { partitionId, leader } of topics[0]?.partitions ?? []) found[partitionId] = leader;
      leaders = found;
      this.#leaders.set(topic, leaders);
    }
    const leader = leaders[partition];
    if (leader === undefined || leader < 0) {
      const type = 'LEADER_NOT_AVAILABLE';
      throw Object.assign(new Error(`Partition ${topic}/${partition} has no leader.`), { type });
    }
    return leader;
  }
}

interface FetchResponse {
  readonly partitions: readonly {
    readonly messages: readonly (KafkaMessage & { readonly isControlRecord?: boolean })[];
  }[];
}
