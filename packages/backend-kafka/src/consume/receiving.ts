import type { Logger } from '@melange/core';
import type { FetchedPartition, GroupSession, KafkaClient } from '../client/index.ts';
import type { KafkaSettings } from '../options.ts';
import { isWanted, type QueueLayout } from '../topology/topology.ts';
import type { Assigned } from '../wire/group.ts';
import { Assignment, type ReadAgain } from './assignment.ts';
import { Fetching } from './fetching.ts';
import { type Membership, thisProcess } from './membership.ts';
import { MissingRecords } from './missing-records.ts';
import { type PartitionTracker, trackerFrom } from './partition-tracker.ts';
import type { Progress } from './progress.ts';

/** What receiving works with. */
export interface ReceivingContext {
  readonly queue: string;
  readonly client: KafkaClient;
  readonly settings: KafkaSettings;
  readonly progress: Progress;
  readonly logger: Logger;
  readonly membership: () => Pick<Membership, 'layout' | 'commitBefore' | 'markDirty' | 'onCrash'>;
  readonly readAgain: ReadAgain;
  /** Records may be there to hand over. */
  readonly onReady: () => void;
  /** Records arrived. */
  readonly onArrived: (assignment: Assignment) => void;
}

/** Receives the records of the partitions that the group gave to this process. */
export class Receiving {
  readonly #context: ReceivingContext;
  readonly #missing: MissingRecords;
  #fetching: Fetching | undefined;

  constructor(context: ReceivingContext) {
    this.#context = context;
    const { queue, client, progress, logger } = context;
    this.#missing = new MissingRecords(queue, client, progress, logger);
  }

  /** As `MembershipContext.load`. */
  async load(assigned: Assigned, { bindings }: QueueLayout): Promise<Assignment> {
    const { client, queue, onReady, readAgain } = this.#context;
    const topics = Object.keys(assigned);
    const commits = topics.length === 0 ? [] : await client.committedBy(queue, topics);
    const ours = commits.filter(({ topic, partition }) => assigned[topic]?.includes(partition) === true);
    const trackers = new Map<string, PartitionTracker>();
    for (const commit of ours)
      trackers.set(`${commit.topic}/${commit.partition}`, trackerFrom(commit, thisProcess));
    this.#missing.checkCommitted(ours, bindings);
    return new Assignment(trackers, onReady, readAgain);
  }

  /** Fetches the partitions for as long as they are this process's. */
  begin(assignment: Assignment, session: GroupSession): void {
    const { client, settings, progress, membership } = this.#context;
    if (assignment.trackers.size === 0) progress.worked('receive');
    this.#fetching = new Fetching(assignment, {
      session,
      leadersOf: (topic) => client.leadersOf(topic),
      maxBytesAtHand: settings.maxBytesAtHand,
      take: (tracker, fetched) => this.#take(assignment, tracker, fetched),
      outOfRange: (tracker) => this.#outOfRange(assignment, tracker),
      onAnswer: () => progress.worked('receive'),
      onFailed: (error) => progress.failed('receive', error),
      onBroken: (error) => {
        if (!assignment.isLost) membership().onCrash(error);
      },
    });
    this.#fetching.start();
  }

  /** Partitions are fetched again, or given up. */
  wake(): void {
    this.#fetching?.wake();
  }

  async #take(assignment: Assignment, tracker: PartitionTracker, fetched: FetchedPartition): Promise<void> {
    const { queue, progress, onArrived } = this.#context;
    const membership = this.#context.membership();
    const { layout } = membership;
    const { topic, partition, records, highWatermark } = fetched;
    const lastOffset = fetched.lastOffset ?? tracker.position - 1;
    // The broker answers with whole batches, from the one on that has the offset which was asked for.
    const first = records.find(({ offset }) => offset >= tracker.position)?.offset ?? lastOffset + 1;
    this.#missing.check(tracker, first, highWatermark, layout.bindings.get(topic)?.from[partition] ?? 0);
    if (assignment.lag === 0) progress.markProgress();
    tracker.highWatermark = highWatermark;
    if (records.length > 0 && tracker.crashes.begin(lastOffset + 1)) await membership.commitBefore(tracker);
    if (assignment.isLost) return;
    for (const record of records) {
      if (!tracker.receive(record.offset)) continue;
      if (isWanted(layout, queue, record)) assignment.add(record, tracker);
      else tracker.finish(record.offset);
    }
    tracker.passOver(lastOffset);
    membership.markDirty();
    onArrived(assignment);
  }

  /** Kafka deleted the records that were to come, or the topic was made anew. */
  async #outOfRange(assignment: Assignment, tracker: PartitionTracker): Promise<number> {
    const { topic, partition } = tracker;
    const range = (await this.#context.client.rangesOf(topic))?.get(partition);
    if (range === undefined || assignment.isLost) return tracker.position;
    const { low, high } = range;
    await this.#take(assignment, tracker, {
      ...{ topic, partition, error: undefined, records: [] },
      highWatermark: high,
      lastOffset: Math.max(low, tracker.position > high ? low : tracker.position) - 1,
    });
    return tracker.position;
  }
}
