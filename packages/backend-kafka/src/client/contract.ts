/**
 * What this adapter needs of a Kafka client. It imports nothing: a client of another library implements it, and
 * `kafkaBackendOn` makes a backend of it. Every method rejects with a `MelangeError`: `BROKER_UNAVAILABLE` where the same request may work
 * later, `CONFIGURATION` where it never will. Where a broker answered with an error of the protocol, some error in the chain of causes has its
 * name as `type`, such as `NOT_ENOUGH_REPLICAS`.
 */
export interface KafkaClient {
  /** Number of the broker that leads each partition, -1 where none does; `undefined` when there is no such topic. */
  leadersOf(topic: string): Promise<readonly number[] | undefined>;
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
  /** Must not connect. */
  openGroup(groupId: string): GroupSession;
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
  /** Copies its bytes out of those that were fetched with it, which it would keep in memory. */
  detach?(): void;
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

/** Place of a member in its group. */
export interface GroupPlace {
  /** By which the group knows the member. */
  readonly memberId: string;
  /** Of the group, from one sharing-out of its partitions to the next. */
  readonly generation: number;
}

/** What a member says of itself, or is told: bytes that only members understand. */
export interface MemberBytes {
  /** The member. */
  readonly memberId: string;
  /** For the client and the brokers, they mean nothing. */
  readonly bytes: Buffer;
}

/** Asks to be a member of a group. */
export interface JoinRequest extends MemberBytes {
  /** By which the members agree how partitions are shared out. */
  readonly protocol: string;
  /** A member that is silent for longer is no member any more, in ms. */
  readonly sessionTimeoutMs: number;
  /** How long the group waits for its members to join again, in ms. */
  readonly rebalanceTimeoutMs: number;
}

/** How a group took a member. */
export interface JoinAnswer extends GroupPlace {
  /** The member that shares out the partitions. */
  readonly leaderId: string;
  /** All members, where this one is the leader. */
  readonly members: readonly MemberBytes[];
}

/** Asks one broker for records. */
export interface FetchRequest {
  /** Number of the broker. */
  readonly node: number;
  /** How long the broker may wait for records, in ms. */
  readonly maxWaitMs: number;
  /** Of the answer, but for its first batch. */
  readonly maxBytes: number;
  /** What is asked for. */
  readonly partitions: readonly {
    /** Topic of the partition. */
    readonly topic: string;
    /** Partition of the topic. */
    readonly partition: number;
    /** Of the first record. */
    readonly offset: number;
    /** Of the partition. */
    readonly maxBytes: number;
  }[];
}

/** What a broker answered for a partition. */
export interface FetchedPartition {
  /** Topic of the partition. */
  readonly topic: string;
  /** Partition of the topic. */
  readonly partition: number;
  /** Name of the protocol's error, such as `OFFSET_OUT_OF_RANGE`. */
  readonly error: string | undefined;
  /** The offset that the next record gets. */
  readonly highWatermark: number;
  /** Whole batches: the first ones may be from before the offset that was asked for. */
  readonly records: readonly IncomingRecord[];
  /** Records, markers and aborted records up to there are in the answer; `undefined` where nothing is. */
  readonly lastOffset: number | undefined;
}

/**
 * Connections for one member of a group. Each is opened on first use, and again after a failure; the coordinator is looked for again where it
 * moved. Fetches and requests of the group do not wait for each other.
 */
export interface GroupSession {
  /** Waits until the group has its members together. Where a member id is empty, the answer has one. */
  join(request: JoinRequest): Promise<JoinAnswer>;
  /** Tells, as the leader, what each member is assigned. Resolves with what this one is. */
  sync(place: GroupPlace, protocol: string, assignments: readonly MemberBytes[]): Promise<Buffer>;
  /** Rejects with `REBALANCE_IN_PROGRESS` when the group waits for its members to join again. */
  heartbeat(place: GroupPlace): Promise<void>;
  /** Rejects when the broker does not take it, as in a rebalance. */
  commit(place: GroupPlace, commits: readonly Commit[]): Promise<void>;
  /** Gives up the place. */
  leave(memberId: string): Promise<void>;
  /** Answers may lie in one piece of memory, which `IncomingRecord.detach` leaves. */
  fetch(request: FetchRequest): Promise<readonly FetchedPartition[]>;
  /** Frees the connections. Resolves in bounded time. */
  close(): Promise<void>;
}
