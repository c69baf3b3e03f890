import type { IncomingRecord, OutgoingRecord } from '../wire/message.ts';

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

/** A record on its way. One without a key goes to a partition chosen by `spread`. */
export interface OutgoingItem {
  readonly record: OutgoingRecord;
  readonly spread: number;
  /** Where it went, or will go. Written by the producer, which keeps to it; to be cleared for another producer. */
  partition: number | undefined;
}

/**
 * An idempotent producer with acks of all replicas. After a `send` that failed the same items may be sent again: what
 * had arrived is not written twice. Before other items are sent it must be closed, and another one opened: the broker
 * would take them for a repetition.
 */
export interface KafkaProducer {
  /** Sends to one topic; resolves when all replicas have the records. */
  send(topic: string, items: readonly OutgoingItem[], isCompressed?: boolean): Promise<void>;
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
  pause(topic: string, partition: number): void;
  resume(topic: string, partition: number): void;
  /** Leaves the group. Resolves in bounded time. */
  stop(): Promise<void>;
}
