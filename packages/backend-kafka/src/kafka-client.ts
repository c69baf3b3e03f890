import type { Socket } from 'node:net';
import { BrokerUnavailableError, type Logger, MelangeError } from '@melange/core';
import {
  type Admin,
  AssignerProtocol,
  type Cluster,
  type Consumer,
  Kafka,
  type KafkaMessage,
  logLevel,
  type PartitionAssigner,
  Partitioners,
  type Producer,
  type RetryOptions,
} from 'kafkajs';
import type { IncomingRecord, OutgoingRecord, RecordHeader } from './kafka-message-mapper.ts';
import type { KafkaBackendOptions, KafkaSettings } from './kafka-options.ts';

/** Where a partition begins, and the offset that its next record gets. */
export interface PartitionRange {
  readonly low: number;
  readonly high: number;
}

/** What a group has committed for one partition; `offset` is -1 where it has committed nothing. */
export interface Commit {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly metadata: string;
}

/** Records for one topic, in their order. Those without a key go to one partition, chosen by `spread`. */
export interface OutgoingBatch {
  readonly topic: string;
  readonly records: readonly { readonly record: OutgoingRecord; readonly spread: number }[];
}

/** An idempotent producer with acks of all replicas. After a `send` that failed it must be closed, not used. */
export interface KafkaProducer {
  send(batches: readonly OutgoingBatch[]): Promise<void>;
  close(): Promise<void>;
}

/** What a member of a group is told. */
export interface GroupListener {
  /** Before each joining of the group: what was assigned is lost when this resolves. */
  beforeJoin(): Promise<void>;
  onAssigned(assignment: Readonly<Record<string, readonly number[]>>): unknown;
  /**
   * Records of one partition, in order and with gaps; none when all up to `lastOffset` were markers or aborted.
   * Must resolve soon: heartbeats wait for it.
   */
  onRecords(
    topic: string,
    partition: number,
    records: readonly IncomingRecord[],
    lastOffset: number,
    highWatermark: number,
  ): Promise<void>;
  onHeartbeat(): unknown;
  /** The member is dead, whatever the reason: make another. Called at most once. */
  onCrash(error: unknown): unknown;
}

/** A member of a consumer group. */
export interface GroupMember {
  /** Resolves when it runs; problems after that are told to `onCrash`. */
  start(): Promise<void>;
  /** Rejects when the broker does not take it, as in a rebalance. */
  commit(commits: readonly Commit[]): Promise<void>;
  pause(topic: string, partition: number): void;
  resume(topic: string, partition: number): void;
  /** Leaves the group. Resolves in bounded time. */
  stop(): Promise<void>;
}

/** Bounds how long a fetch waits at the broker, and with it how soon a resumed partition is read. */
const longestFetchMs = 200;
const longestStopMs = 3_000;
const lookForLeadersEveryMs = 15;
const settlingAttempts = 40;
const settlingPauseMs = 50;
/** What the broker answers to a commit from outside while the group has members. */
const membership = /^(UNKNOWN_MEMBER_ID|ILLEGAL_GENERATION|REBALANCE_IN_PROGRESS)$/;
const retry: RetryOptions = { initialRetryTime: 100, maxRetryTime: 1_000, retries: 4 };

/** kafkajs as this adapter uses it, and nothing else of it: another client would replace this file. */
export class KafkaClient {
  readonly #kafka: Kafka;
  readonly #settings: KafkaSettings;
  #admin: Promise<Admin> | undefined;
  #lastQuestion: Promise<unknown> = Promise.resolve();
  /** For what kafkajs does only as a member of a group, and this adapter without one: reading. */
  #cluster: Promise<Cluster> | undefined;

  constructor(options: KafkaBackendOptions, settings: KafkaSettings, logger: Logger) {
    const { socketFactory, ssl, sasl } = options;
    this.#settings = settings;
    this.#kafka = new Kafka({
      brokers: [...settings.brokers],
      clientId: settings.clientId,
      connectionTimeout: settings.connectTimeoutMs,
      requestTimeout: settings.requestTimeoutMs,
      retry,
      ...(ssl === undefined ? {} : { ssl }),
      ...(sasl === undefined ? {} : { sasl }),
      ...(socketFactory === undefined
        ? {}
        : {
            socketFactory: ({ host, port, ssl: secure, onConnect }): Socket =>
              socketFactory({ host, port, ssl: secure ?? undefined, onConnect }),
          }),
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
        if (typeOf(error) === 'UNKNOWN_TOPIC_OR_PARTITION') return undefined;
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
    const end = Date.now() + this.#settings.requestTimeoutMs;
    while (!(await this.#hasLeaders(topic)) && Date.now() < end)
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

  /** What partition 0 holds from an offset on, as much as one answer has. Waits for nothing. */
  async read(topic: string, offset: number): Promise<readonly IncomingRecord[]> {
    return this.#withCluster(async (cluster) => {
      await cluster.addTargetTopic(topic);
      await cluster.refreshMetadataIfNecessary();
      const [nodeId] = Object.keys(cluster.findLeaderForPartitions(topic, [0]));
      const broker = await cluster.findBroker({ nodeId: nodeId as string });
      const { responses } = await broker.fetch({
        maxWaitTime: 0,
        minBytes: 0,
        maxBytes: 1_048_576,
        topics: [{ topic, partitions: [{ partition: 0, fetchOffset: String(offset), maxBytes: 1_048_576 }] }],
      });
      const messages = (responses as FetchResponse[])[0]?.partitions[0]?.messages ?? [];
      return messages
        .filter((message) => !message.isControlRecord && Number(message.offset) >= offset)
        .map((message) => recordOf(topic, 0, message));
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

  async openProducer(): Promise<KafkaProducer> {
    const producer = this.#kafka.producer({
      idempotent: true,
      maxInFlightRequests: 1,
      allowAutoTopicCreation: false,
      createPartitioner: stickyPartitioner,
      retry,
    });
    try {
      await producer.connect();
    } catch (error) {
      void producer.disconnect().catch(() => undefined);
      throw asMelangeError(error);
    }
    return {
      send: (batches) => send(producer, batches, this.#settings.requestTimeoutMs),
      close: () => bounded(producer.disconnect()),
    };
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
    this.#cluster ??= this.#openCluster();
    const opening = this.#cluster;
    try {
      return await work(await opening);
    } catch (error) {
      if (this.#cluster === opening) this.#cluster = undefined;
      void opening.then((opened) => opened.disconnect()).catch(() => undefined);
      throw asMelangeError(error);
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
    await (captured as unknown as Cluster).connect();
    return captured as unknown as Cluster;
  }
}

interface FetchResponse {
  readonly partitions: readonly {
    readonly messages: readonly (KafkaMessage & { readonly isControlRecord?: boolean })[];
  }[];
}

class Member implements GroupMember {
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
    this.#consumer = kafka.consumer({
      groupId,
      sessionTimeout: settings.sessionTimeoutMs,
      rebalanceTimeout: settings.sessionTimeoutMs + settings.revocationDeadlineMs,
      heartbeatInterval: settings.heartbeatIntervalMs,
      maxWaitTimeInMs: longestFetchMs,
      metadataMaxAge: 60_000,
      allowAutoTopicCreation: false,
      partitionAssigners: [this.#assigner()],
      // A crashed member is replaced, never restarted behind our back.
      retry: { ...retry, restartOnFailure: async () => false },
    });
    const { GROUP_JOIN, HEARTBEAT, CRASH, START_BATCH_PROCESS } = this.#consumer.events;
    this.#consumer.on(GROUP_JOIN, ({ payload }) => {
      // In its first joining kafkajs does not yet hear that it is to stop.
      if (this.#isOver) setImmediate(() => void this.#leave());
      else listener.onAssigned(payload.memberAssignment);
    });
    this.#consumer.on(HEARTBEAT, () => listener.onHeartbeat());
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
        const { topic, partition, messages, highWatermark } = batch;
        const records = messages.map((message) => recordOf(topic, partition, message));
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

interface CommitRequest {
  topics: { topic: string; partitions: { partition: number; offset: string; metadata: string }[] }[];
}

function requestOf(commits: readonly Commit[]): CommitRequest {
  const topics = new Map<string, CommitRequest['topics'][number]['partitions']>();
  for (const { topic, partition, offset, metadata } of commits) {
    const partitions = topics.get(topic) ?? [];
    topics.set(topic, partitions);
    partitions.push({ partition, offset: String(offset), metadata });
  }
  return { topics: [...topics].map(([topic, partitions]) => ({ topic, partitions })) };
}

/** Partitions of one number go to one member, whatever their topic: a key keeps its member across retries. */
const coPartitioned: PartitionAssigner = ({ cluster }) => ({
  name: 'MelangeCoPartitioned',
  version: 1,
  async assign({ members }) {
    const subscribed = members
      .map(({ memberId, memberMetadata }) => ({
        memberId,
        topics: AssignerProtocol.MemberMetadata.decode(memberMetadata)?.topics ?? [],
      }))
      .sort((left, right) => (left.memberId < right.memberId ? -1 : 1));
    const assignments = new Map<string, Record<string, number[]>>();
    for (const topic of new Set(subscribed.flatMap(({ topics }) => topics))) {
      const takers = subscribed.filter(({ topics }) => topics.includes(topic));
      for (const { partitionId } of cluster.findTopicPartitionMetadata(topic)) {
        const { memberId } = takers[partitionId % takers.length] as (typeof takers)[number];
        const assignment = assignments.get(memberId) ?? {};
        assignments.set(memberId, assignment);
        assignment[topic] = [...(assignment[topic] ?? []), partitionId];
      }
    }
    return [...assignments].map(([memberId, assignment]) => ({
      memberId,
      memberAssignment: AssignerProtocol.MemberAssignment.encode({
        version: 1,
        assignment,
        userData: Buffer.alloc(0),
      }),
    }));
  },
  protocol({ topics }) {
    const metadata = AssignerProtocol.MemberMetadata.encode({
      version: 1,
      topics,
      userData: Buffer.alloc(0),
    });
    return { name: this.name, metadata };
  },
});

interface SendMessage {
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: Record<string, Buffer>;
  readonly spread: number;
}

/** As the Java client does with keys. A choice holds for the retries of a send, or its sequence numbers would not. */
function stickyPartitioner(): ReturnType<typeof Partitioners.DefaultPartitioner> {
  const byKey = Partitioners.DefaultPartitioner();
  return (choice) => {
    const { key, spread } = choice.message as unknown as SendMessage;
    return key === null ? spread % choice.partitionMetadata.length : byKey(choice);
  };
}

async function send(producer: Producer, batches: readonly OutgoingBatch[], timeout: number): Promise<void> {
  const topicMessages = batches.map(({ topic, records }) => ({
    topic,
    messages: records.map(({ record: { key, value, headers }, spread }) => {
      const message: SendMessage = { key, value, headers: headers as Record<string, Buffer>, spread };
      return message;
    }),
  }));
  try {
    await producer.sendBatch({ acks: -1, timeout, topicMessages });
  } catch (error) {
    throw asMelangeError(error);
  }
}

function recordOf(topic: string, partition: number, message: KafkaMessage): IncomingRecord {
  const headers: Record<string, RecordHeader> = Object.create(null);
  for (const [name, value] of Object.entries(message.headers ?? {})) {
    // kafkajs takes what every object has under a name for an earlier header of that name.
    headers[name] = Array.isArray(value)
      ? (value as unknown[]).filter((one): one is Buffer | null => one === null || Buffer.isBuffer(one))
      : ((value as Buffer | undefined) ?? null);
  }
  return {
    topic,
    partition,
    offset: Number(message.offset),
    key: message.key,
    value: message.value,
    headers,
  };
}

/** Name of a protocol error, such as `UNKNOWN_TOPIC_OR_PARTITION`, wherever in the chain of causes. */
export function typeOf(error: unknown): string | undefined {
  for (
    let at = error as ErrorLike | undefined;
    at !== undefined && at !== null;
    at = at.cause ?? at.originalError
  )
    if (typeof at.type === 'string') return at.type;
  return undefined;
}

interface ErrorLike {
  readonly name?: string;
  readonly message?: string;
  readonly type?: string;
  readonly cause?: ErrorLike;
  readonly originalError?: ErrorLike;
}

/** A topic that was made a moment ago, or whose leader changes: soon the answer is another one. */
function isSettling(error: unknown): boolean {
  const type = typeOf(error);
  // kafkajs stumbles over partitions without a leader.
  if (type === undefined) return error instanceof TypeError;
  return type.startsWith('NOT_LEADER') || type === 'LEADER_NOT_AVAILABLE' || type === 'KAFKA_STORAGE_ERROR';
}

function isConnectionProblem(error: unknown): boolean {
  return typeOf(error) === undefined;
}

function asMelangeError(error: unknown): MelangeError {
  if (MelangeError.is(error)) return error;
  const { message = String(error) } = (error ?? {}) as ErrorLike;
  const type = typeOf(error);
  if (type?.includes('AUTHORIZATION') === true || type?.includes('SASL') === true)
    return new MelangeError('CONFIGURATION', `Kafka refuses: ${message}. Grant the ACLs of the README.`, {
      cause: error,
    });
  return new BrokerUnavailableError(`Kafka does not answer as it should: ${message}`, { cause: error });
}

/** kafkajs waits for what may never come: connections that are gone, a coordinator that is down. */
async function bounded(work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, longestStopMs);
  });
  await Promise.race([work.catch(() => undefined), timeout]);
  clearTimeout(timer);
}
