import { Kafka, logLevel } from 'kafkajs';
import { typeOf } from '../../errors.ts';
import type { KafkaSettings } from '../../options.ts';
import { parseAddress } from '../address.ts';
import type {
  Commit,
  GroupSession,
  IncomingRecord,
  KafkaClient,
  OutgoingBatch,
  PartitionRange,
} from '../contract.ts';
import type { ClientWatch } from '../index.ts';
import { type ProduceLane, Producer } from '../producer.ts';
import { Connections } from './connections.ts';
import { asMelangeError } from './errors.ts';
import { Group } from './group.ts';
import { canProduce, fetchFrom, instrument, newProducer, produce } from './internals.ts';
import { Nodes } from './nodes.ts';
import { requestOf } from './records.ts';
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
  readonly #lanes: Readonly<Record<ProduceLane, Nodes>>;
  readonly #onSlow: (reason: string) => void;
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
    instrument(this.#kafka);
    this.#onSlow = onSlow;
    this.#connections = new Connections(this.#kafka, settings.metadataMaxAgeMs);
    const nodes = () => new Nodes(() => this.#connections.newCluster());
    this.#lanes = { steady: nodes(), 'in trouble': nodes() };
    this.#producer = new Producer({
      leaderOf: (topic, partition) => this.#leaderOf(topic, partition),
      forgetLeaders: (topic) => this.#leaders.delete(topic),
      timeoutMs: requestTimeoutMs,
      newProducer: async (node, lane) => newProducer(await this.#lanes[lane].find(node)),
      produce: async (node, lane, body) => produce(await this.#lanes[lane].find(node), body),
      instead: async (node, lane, topic) => {
        if (canProduce(await this.#lanes[lane].find(node, topic))) return undefined;
        onSlow('each partition is written to by a producer of its own');
        this.#slowProducer ??= new SlowProducer(this.#kafka, requestTimeoutMs);
        const producer = this.#slowProducer;
        return (batch) => producer.send(batch);
      },
    });
  }

  /** Number of the broker that leads each partition, -1 where none does; `undefined` when there is no such topic. */
  async leadersOf(topic: string): Promise<readonly number[] | undefined> {
    return this.#connections.withAdmin(async (admin) => {
      try {
        const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
        const leaders: number[] = [];
        for (const { partitionId, leader } of topics[0]?.partitions ?? []) leaders[partitionId] = leader;
        this.#leaders.set(topic, leaders);
        return leaders;
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
    // Brokers hear of a new topic one after the other, soon.
    while (!(await this.#hasLeaders(topic)) && performance.now() < end)
      await new Promise((resolve) => setTimeout(resolve, lookForLeadersEveryMs));
  }

  /** Does nothing when it does not exist. */
  async deleteTopic(topic: string): Promise<void> {
    // kafkajs asks for a second or more before it believes that there is nothing to delete.
    if ((await this.leadersOf(topic)) === undefined) return;
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
    if ((await this.leadersOf(topic)) === undefined) return undefined;
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

  async read(topic: string, offset: number, partition = 0): Promise<readonly IncomingRecord[]> {
    const maxBytes = 1_048_576;
    return this.#connections.withCluster(async (cluster) => {
      await cluster.addTargetTopic(topic);
      await cluster.refreshMetadataIfNecessary();
      const [node] = Object.keys(cluster.findLeaderForPartitions(topic, [partition]));
      const broker = await cluster.findBroker({ nodeId: node as string });
      const partitions = [{ topic, partition, offset, maxBytes }];
      const request = { node: Number(node), maxWaitMs: 0, maxBytes, partitions };
      const [answer] = await fetchFrom(broker, request, this.#onSlow);
      if (answer?.error !== undefined) throw Object.assign(new Error(answer.error), { type: answer.error });
      return (answer?.records ?? []).filter((record) => record.offset >= offset);
    });
  }

  async send(batch: OutgoingBatch): Promise<void> {
    try {
      await this.#producer.send(batch);
    } catch (error) {
      throw asMelangeError(error);
    }
  }

  openGroup(groupId: string): GroupSession {
    return new Group(groupId, () => this.#connections.newCluster(), this.#onSlow);
  }

  async close(): Promise<void> {
    const lanes = Object.values(this.#lanes).map((nodes) => nodes.close());
    await Promise.all([this.#connections.close(), this.#slowProducer?.close(), ...lanes]);
  }

  async #hasLeaders(topic: string): Promise<boolean> {
    try {
      return (await this.leadersOf(topic))?.every((leader) => leader >= 0) === true;
    } catch (error) {
      if (typeOf(error) === 'LEADER_NOT_AVAILABLE') return false;
      throw error;
    }
  }

  async #leaderOf(topic: string, partition: number): Promise<number> {
    const leaders = this.#leaders.get(topic);
    const leader = (leaders?.[partition] === undefined ? await this.leadersOf(topic) : leaders)?.[partition];
    if (leader !== undefined && leader >= 0) return leader;
    const type = leader === undefined ? 'UNKNOWN_TOPIC_OR_PARTITION' : 'LEADER_NOT_AVAILABLE';
    throw Object.assign(new Error(`Partition ${topic}/${partition} has no leader.`), { type });
  }
}
