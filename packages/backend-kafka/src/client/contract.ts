/**
 * What this adapter needs of a Kafka client. It imports nothing: a client of another library implements it, and
 * `kafkaBackendOn` makes a backend of it. Every method rejects with a `MelangeError`: `BROKER_UNAVAILABLE` where the same request may work
 * later, `CONFIGURATION` where it never will. Where a broker answered with an error of the protocol, some error in the chain of causes has its
 * name as `type`, such as `NOT_ENOUGH_REPLICAS`.
 */
export interface KafkaClient {
  /** Number of partitions; `undefined` when there is no such topic. */
  partitionsOf(topic: string): Promise<number | undefined>;
  /** Number of brokers of the cluster. */
  brokerCount(): Promise<number>;
  /** Does nothing when it exists. Resolves when its partitions have leaders. */
  createTopic(
    topic: string,
    partitions: number,
    replicationFactor: number,
    config?: Readonly<Record<string, string>>,
  ): Promise<void>;
  /** Does nothing when it does not exist. */
  deleteTopic(topic: string): Promise<void>;
  /** A group that somebody is a member of stays. */
  deleteGroup(groupId: string): Promise<void>;
  /** By partition; `undefined` when there is no such topic. */
  rangesOf(topic: string): Promise<ReadonlyMap<number, PartitionRange> | undefined>;
  /** Each partition of the topics, committed or not. */
  committedBy(groupId: string, topics: readonly string[]): Promise<readonly Commit[]>;
  /** By partition, the first offset whose record is not older than that; where there is none, the one after the last. */
  offsetsAt(topic: string, timeMs: number): Promise<ReadonlyMap<number, number>>;
  /** Commits for a group that nobody is a member of; false, and nothing done, when somebody is. */
  commitFor(groupId: string, commits: readonly Commit[]): Promise<boolean>;
  /** The records of a partition from an offset on, as many as one answer has. Waits for nothing. */
  read(topic: string, offset: number, partition?: number): Promise<readonly IncomingRecord[]>;
  /**
   * Writes records to one partition, idempotently; resolves when all in-sync replicas have them. Batches that are sent in one turn share
   * one request for each broker, and each has its own answer: a partition in trouble holds up none other.
   *
   * Calls for a partition come one after the other, but that nobody may wait for the answer of one any more: the next one waits for
   * it. When the same items are sent again after a failure, those that had arrived are not written
   * twice.
   */
  send(batch: OutgoingBatch): Promise<void>;
  /** Becomes a member of a group, in the background. */
  join(groupId: string, topics: readonly string[], listener: GroupListener): GroupMember;
  /** Frees every connection. Resolves in bounded time. */
  close(): Promise<void>;
}

/** A record as it goes to Kafka. */
export interface OutgoingRecord {
  /** `null` for none. */
  readonly key: Buffer | null;
  /** `null` for a tombstone. */
  readonly value: Buffer | null;
  /** By name; several of one name as a list. */
  readonly headers: Readonly<Record<string, Buffer | (Buffer | null)[] | null>>;
}

/** Records for one partition. */
export interface OutgoingBatch {
  /** Topic that they go to. */
  readonly topic: string;
  /** Partition of the topic. */
  readonly partition: number;
  /** In their order. An item is the same object when it is sent again, and makes its record each time. */
  readonly items: readonly { readonly record: OutgoingRecord }[];
  /** Compressed by gzip. */
  readonly isCompressed: boolean;
}

/** A record as it came from Kafka. */
export interface IncomingRecord extends OutgoingRecord {
  /** Topic that it came from. */
  readonly topic: string;
  /** Partition of the topic. */
  readonly partition: number;
  /** Place in the partition. */
  readonly offset: number;
  /** As Kafka has it, in ms since the epoch; -1 or `undefined` where it has none. */
  readonly timestamp?: number | undefined;
  /** Key, value and headers, in bytes. */
  readonly size: number;
}

/** Where a partition begins, and the offset that its next record gets. */
export interface PartitionRange {
  /** Of the first record. */
  readonly low: number;
  /** Of the next record. */
  readonly high: number;
}

/** What a group has committed for one partition. */
export interface Commit {
  /** Topic of the partition. */
  readonly topic: string;
  /** Partition of the topic. */
  readonly partition: number;
  /** The next record to consume; -1 where nothing was committed. */
  readonly offset: number;
  /** Text of the committer. */
  readonly metadata: string;
}

/** What a member of a group is told. */
export interface GroupListener {
  /** Before each joining of the group: what was assigned is lost when this resolves. */
  beforeJoin(): Promise<void>;
  /** Partitions by topic, from now on. */
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
  /** The group has confirmed that the member belongs to it. @param ageMs since the member said that it lives. */
  onHeartbeat(ageMs: number): unknown;
  /** The member is dead, whatever the reason: make another. Called at most once. */
  onCrash(error: unknown): unknown;
}

/** A member of a consumer group. */
export interface GroupMember {
  /** Resolves when it runs; problems after that are told to `onCrash`. */
  start(): Promise<void>;
  /** Rejects when the broker does not take it, as in a rebalance. */
  commit(commits: readonly Commit[]): Promise<void>;
  /** Fetches no more of the partition. */
  pause(topic: string, partition: number): void;
  /** Fetches of it again. */
  resume(topic: string, partition: number): void;
  /** Leaves the group. Resolves in bounded time. */
  stop(): Promise<void>;
}
