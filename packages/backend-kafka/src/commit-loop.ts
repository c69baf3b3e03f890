import type { Assignment } from './assignment.ts';
import { type Commit, typeOf } from './kafka-client.ts';
import type { PartitionTracker } from './partition-tracker.ts';

const pauseMs = 50;

/** Commits the contiguous prefix of each partition, a little later, so that many acknowledgements share one request. */
export class CommitLoop {
  readonly #intervalMs: number;
  readonly #commit: (commits: readonly Commit[]) => Promise<void>;
  #assignment: Assignment | undefined;
  #timer: NodeJS.Timeout | undefined;
  #committing: Promise<void> = Promise.resolve();

  constructor(intervalMs: number, commit: (commits: readonly Commit[]) => Promise<void>) {
    this.#intervalMs = intervalMs;
    this.#commit = commit;
  }

  /** From now on these are the partitions; `undefined` when there are none. */
  follow(assignment: Assignment | undefined): void {
    this.#assignment = assignment;
  }

  /** Something was finished. */
  isDirty(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      void this.flush();
    }, this.#intervalMs);
  }

  /** Commits now. Never rejects: what the broker did not take is committed later, by whoever has the partition. */
  flush(): Promise<void> {
    this.#committing = this.#committing.then(() => this.#flush());
    return this.#committing;
  }

  /** Commits all, trying again while the broker does not answer, as the partitions are about to be given up. */
  async settle(deadlineMs: number): Promise<void> {
    const end = Date.now() + deadlineMs;
    for (;;) {
      await this.flush();
      const isDirty = [...(this.#assignment?.trackers.values() ?? [])].some((tracker) => tracker.isDirty);
      if (!isDirty || Date.now() > end) return;
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#committing;
  }

  async #flush(): Promise<void> {
    const assignment = this.#assignment;
    const dirty = [...(assignment?.trackers.values() ?? [])].filter((tracker) => tracker.isDirty);
    if (dirty.length === 0) return;
    const topics = new Set(dirty.map(({ topic }) => topic));
    if (await this.#commitAll(dirty, topics.size > 1)) return;
    // The answer is about all: one that was deleted must not keep the others from being committed.
    for (const topic of topics)
      await this.#commitAll(
        dirty.filter((tracker) => tracker.topic === topic),
        false,
      );
  }

  /** False when one of several topics is gone. One that is gone alone has nothing left to commit. */
  async #commitAll(trackers: readonly PartitionTracker[], areSeveral: boolean): Promise<boolean> {
    const assignment = this.#assignment;
    try {
      await this.#commit(trackers.map((tracker) => tracker.commit()));
    } catch (error) {
      const isGone = typeOf(error) === 'UNKNOWN_TOPIC_OR_PARTITION';
      if (isGone && areSeveral) return false;
      if (isGone) return true;
      for (const tracker of trackers) tracker.commitFailed();
      if (assignment?.isLost === false) this.isDirty();
    }
    return true;
  }
}
