import { retryTopicOf } from '../topology/topology.ts';
import type { Assignment } from './assignment.ts';
import type { Copies } from './copies.ts';
import type { PartitionTracker } from './partition-tracker.ts';

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

/** Who hears what becomes of partitions that are full. */
export interface BackpressureListener {
  /** Partitions are fetched again. */
  readonly onResumed: () => void;
  /** Something need not be delivered from here any more. */
  readonly onFinished: () => void;
}

/** Fetches no more of a partition while too much of it is unfinished, and goes on when that is done. */
export class Backpressure {
  readonly #retryTopic: string;
  readonly #maxTrackedOffsets: number;
  readonly #copies: Pick<Copies, 'postpone'>;
  readonly #listener: BackpressureListener;
  readonly #rounds = new WeakMap<PartitionTracker, Round>();

  constructor(
    queue: string,
    maxTrackedOffsets: number,
    copies: Pick<Copies, 'postpone'>,
    listener: BackpressureListener,
  ) {
    this.#retryTopic = retryTopicOf(queue);
    this.#maxTrackedOffsets = maxTrackedOffsets;
    this.#copies = copies;
    this.#listener = listener;
  }

  /** To be called when records arrived, and when some were finished. */
  apply(assignment: Assignment): void {
    let isResumed = false;
    for (const tracker of assignment.trackers.values()) {
      const { topic, isPaused, size } = tracker;
      if (!isPaused && size >= this.#maxTrackedOffsets) {
        tracker.isPaused = true;
        if (topic === this.#retryTopic) this.#postponeInTime(assignment, tracker);
      } else if (isPaused && size <= this.#maxTrackedOffsets * 0.8) {
        tracker.isPaused = false;
        isResumed = true;
      }
    }
    if (isResumed) this.#listener.onResumed();
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
    this.#listener.onFinished();
    if (assignment.isLost) return;
    this.apply(assignment);
    // What is in the way still would be there until its time.
    if (hasFailed && tracker.isPaused) this.#postponeInTime(assignment, tracker);
  }
}
