import type { Commit } from '../client/index.ts';
import { typeOf } from '../errors.ts';
import { maxMetadataBytes } from '../wire/finished-offsets.ts';
import type { Assignment } from './assignment.ts';
import type { PartitionTracker } from './partition-tracker.ts';

/** How offsets are committed, and who hears what became of it. */
export interface Committing {
  readonly commit: (commits: readonly Commit[]) => Promise<void>;
  readonly onCommitted: () => unknown;
  /** They are committed again. */
  readonly onFailed: (error: unknown) => void;
  /** The group has given the partitions to others. */
  readonly onFenced: (assignment: Assignment) => void;
}

const pauseMs = 50;
/** Somebody else speaks for these partitions now. */
const fenced = /^(UNKNOWN_MEMBER_ID|ILLEGAL_GENERATION|FENCED_INSTANCE_ID)$/;

/** Commits the contiguous prefix of each partition, a little later, so that many acknowledgements share one request. */
export class CommitLoop {
  readonly #intervalMs: number;
  readonly #committing: Committing;
  #assignment: Assignment | undefined;
  #timer: NodeJS.Timeout | undefined;
  #flushing: Promise<void> = Promise.resolve();
  #maxMetadataBytes = maxMetadataBytes;

  constructor(intervalMs: number, committing: Committing) {
    this.#intervalMs = intervalMs;
    this.#committing = committing;
  }

  /** From now on these are the partitions; `undefined` when there are none. */
  follow(assignment: Assignment | undefined): void {
    this.#assignment = assignment;
  }

  /** Something was finished: commits soon. */
  markDirty(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      void this.flush();
    }, this.#intervalMs);
  }

  /** Commits now. Never rejects: what the broker did not take is committed later, by whoever has the partition. */
  flush(): Promise<void> {
    this.#flushing = this.#flushing.then(() => this.#flush());
    return this.#flushing;
  }

  /** Commits one partition, trying again while the broker does not answer. */
  async untilCommitted(tracker: PartitionTracker, deadlineMs: number): Promise<void> {
    const end = performance.now() + deadlineMs;
    for (;;) {
      await this.flush();
      if (!tracker.isDirty || this.#assignment?.isLost !== false || performance.now() > end) return;
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }

  /** Commits all, trying again while the broker does not answer, as the partitions are about to be given up. */
  async settle(deadlineMs: number): Promise<void> {
    const end = performance.now() + deadlineMs;
    for (;;) {
      await this.flush();
      if (this.#dirty().length === 0 || performance.now() > end) return;
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#flushing;
  }

  #dirty(): PartitionTracker[] {
    return [...(this.#assignment?.trackers.values() ?? [])].filter(({ isDirty }) => isDirty);
  }

  async #flush(): Promise<void> {
    const dirty = this.#dirty();
    if (dirty.length === 0) return;
    const topics = new Set(dirty.map(({ topic }) => topic));
    if ((await this.#commit(dirty)) !== 'topic-is-gone' || topics.size === 1) return;
    // The answer is about all: one that was deleted must not keep the others from being committed.
    for (const topic of topics) await this.#commit(dirty.filter((tracker) => tracker.topic === topic));
  }

  async #commit(trackers: readonly PartitionTracker[]): Promise<'topic-is-gone' | undefined> {
    const assignment = this.#assignment;
    try {
      await this.#committing.commit(trackers.map((tracker) => tracker.commit(this.#maxMetadataBytes)));
      this.#committing.onCommitted();
      return undefined;
    } catch (error) {
      const type = typeOf(error) ?? '';
      // One that is gone alone has nothing left to commit.
      if (type === 'UNKNOWN_TOPIC_OR_PARTITION') return 'topic-is-gone';
      for (const tracker of trackers) tracker.markDirty();
      if (fenced.test(type)) {
        if (assignment !== undefined) this.#committing.onFenced(assignment);
        return undefined;
      }
      // Brokers may be set to take less of it. What does not fit is only delivered again after a rebalance.
      if (type === 'OFFSET_METADATA_TOO_LARGE')
        this.#maxMetadataBytes = Math.floor(this.#maxMetadataBytes / 4);
      else if (type !== 'REBALANCE_IN_PROGRESS') this.#committing.onFailed(error);
      if (assignment?.isLost === false) this.markDirty();
      return undefined;
    }
  }
}
