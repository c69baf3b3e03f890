import type { Assignment } from './assignment.ts';
import type { Commit } from './kafka-client.ts';

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

  async close(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#committing;
  }

  async #flush(): Promise<void> {
    const assignment = this.#assignment;
    const dirty = [...(assignment?.trackers.values() ?? [])].filter((tracker) => tracker.isDirty);
    if (dirty.length === 0) return;
    try {
      await this.#commit(dirty.map((tracker) => tracker.commit()));
    } catch {
      for (const tracker of dirty) tracker.commitFailed();
      if (assignment === this.#assignment && assignment?.isLost === false) this.isDirty();
    }
  }
}
