import type { Entry } from './entry.ts';
import type { PartitionTracker } from './partition-tracker.ts';

/** Longest delay that a timer keeps. */
const maxTimerMs = 2_147_483_647;

/** Entries of the retry topic that are not due by the clock of this process, which their due time is written for. */
export class DelayedEntries {
  readonly #timers = new Map<Entry, NodeJS.Timeout>();
  readonly #onDue: (entry: Entry) => void;

  constructor(onDue: (entry: Entry) => void) {
    this.#onDue = onDue;
  }

  get size(): number {
    return this.#timers.size;
  }

  /** Whether the entry waits here until it is due; false when it is due. */
  hold(entry: Entry): boolean {
    const delayMs = entry.notBefore - Date.now();
    if (delayMs <= 0) return false;
    const timer = setTimeout(
      () => {
        this.#timers.delete(entry);
        if (!this.hold(entry)) this.#onDue(entry);
      },
      Math.min(delayMs, maxTimerMs),
    );
    this.#timers.set(entry, timer);
    return true;
  }

  /** Entries of the partition that are due only after `time`, the first one first. They are forgotten here. */
  takeAfter(tracker: PartitionTracker, time: number): Entry[] {
    const taken = [...this.#timers.keys()].filter(
      (entry) => entry.tracker === tracker && entry.notBefore > time,
    );
    for (const entry of taken) {
      clearTimeout(this.#timers.get(entry));
      this.#timers.delete(entry);
    }
    return taken;
  }

  clear(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }
}
