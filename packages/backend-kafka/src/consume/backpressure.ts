import type { GroupMember } from '../client/index.ts';
import { retryTopicOf } from '../topology/topology.ts';
import type { Assignment, Limit } from './assignment.ts';
import type { Copies } from './copies.ts';
import type { PartitionTracker } from './partition-tracker.ts';

/** What is at hand, beyond which no more is taken in: a fetch more, of 10 MiB at most, may be under way. */
const most: Limit = { records: 1_000, bytes: 16_777_216 };
/** Longest wait for room: heartbeats wait as long. */
const longestWaitMs = 200;
/** What is due this soon is waited for. */
const soonMs = 2_000;

/** From one round of postponing to the next. */
const shortestPauseMs = 1_000;
const longestPauseMs = 60_000;

/** The last round of postponing, and how long the next one waits after it. */
interface Round {
  readonly at: number;
  readonly pauseMs: number;
}

/** Fetches no more of a partition while too much of it is at hand or unfinished, and goes on when that is done. */
export class Backpressure {
  readonly #retryTopic: string;
  readonly #maxTrackedOffsets: number;
  readonly #copies: Pick<Copies, 'postpone'>;
  readonly #member: () => GroupMember | undefined;
  readonly #onFinished: () => void;
  readonly #rounds = new WeakMap<PartitionTracker, Round>();

  /** @param onFinished called when something need not be delivered from here any more. */
  constructor(
    queue: string,
    maxTrackedOffsets: number,
    copies: Pick<Copies, 'postpone'>,
    member: () => GroupMember | undefined,
    onFinished: () => void,
  ) {
    this.#retryTopic = retryTopicOf(queue);
    this.#maxTrackedOffsets = maxTrackedOffsets;
    this.#copies = copies;
    this.#member = member;
    this.#onFinished = onFinished;
  }

  /**
   * To be awaited before records are taken in, so that the next fetch is under way while these are processed. Only where
   * handlers take long are partitions paused: kafkajs looks for those that were resumed from time to time.
   */
  async room(assignment: Assignment, { isPaused }: PartitionTracker): Promise<void> {
    if (isPaused || !assignment.holds(most)) return;
    await assignment.room(most, longestWaitMs);
    if (assignment.isLost || !assignment.holds(most)) return;
    for (const tracker of assignment.trackers.values()) this.#pause(tracker);
  }

  /** To be called when records arrived, and when some were finished. */
  apply(assignment: Assignment): void {
    const { ready, bufferedBytes } = assignment;
    const little = ready <= most.records / 2 && bufferedBytes <= most.bytes / 2;
    for (const tracker of assignment.trackers.values()) {
      const { topic, partition, isPaused, size } = tracker;
      if (!isPaused && size >= this.#maxTrackedOffsets) {
        this.#pause(tracker);
        if (topic === this.#retryTopic) this.#postponeInTime(assignment, tracker);
      } else if (isPaused && little && size <= this.#maxTrackedOffsets * 0.8) {
        tracker.isPaused = false;
        this.#member()?.resume(topic, partition);
      }
    }
  }

  /** kafkajs keeps a pause when the partition is gone, and has it still when it comes back. */
  release(assignment: Assignment): void {
    for (const { isPaused, topic, partition } of assignment.trackers.values())
      if (isPaused) this.#member()?.resume(topic, partition);
  }

  #pause(tracker: PartitionTracker): void {
    if (tracker.isPaused) return;
    tracker.isPaused = true;
    this.#member()?.pause(tracker.topic, tracker.partition);
  }

  /** Each round writes all of them again: the more rounds there were, the longer it is to the next one. */
  #postponeInTime(assignment: Assignment, tracker: PartitionTracker): void {
    const now = performance.now();
    const last = this.#rounds.get(tracker);
    const isFirst = last === undefined || now - last.at > last.pauseMs * 2;
    const at = isFirst ? now : Math.max(now, last.at + last.pauseMs);
    const pauseMs = isFirst ? shortestPauseMs : Math.min(longestPauseMs, last.pauseMs * 2);
    this.#rounds.set(tracker, { at, pauseMs });
    const timer = setTimeout(() => {
      if (!assignment.isLost && tracker.isPaused) void this.#postpone(assignment, tracker);
    }, at - now);
    timer.unref();
  }

  /** What waits for long must not keep what is due sooner from being read: it goes to the end of its topic. */
  async #postpone(assignment: Assignment, tracker: PartitionTracker): Promise<void> {
    const postponed = assignment.takeWaiting(tracker, Date.now() + soonMs);
    let hasFailed = false;
    const postponing = postponed.map((entry) =>
      assignment.working(async () => {
        try {
          await this.#copies.postpone(entry.record);
          tracker.finish(entry.offset);
        } catch {
          hasFailed = true;
          if (!assignment.isLost) assignment.add(entry.record, tracker);
        }
      }),
    );
    await Promise.all(postponing);
    this.#onFinished();
    if (assignment.isLost) return;
    this.apply(assignment);
    // What is in the way still would be there until its time.
    if (hasFailed && tracker.isPaused) this.#postponeInTime(assignment, tracker);
  }
}
