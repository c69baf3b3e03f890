import type { Entry } from './entry.ts';

/** A key in flight: entries of it that came later wait here, in their order, and must not pass. */
export interface KeyLane {
  first: Entry | undefined;
  last: Entry | undefined;
}

/** Keys in flight, each held by one entry from when it is taken to when it is finished. */
export class BusyKeys {
  readonly #lanes = new Map<string, KeyLane>();
  #waiting = 0;

  /** How many entries wait for their keys. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Whether the entry holds its key, now or since before; else it waits here until it does. */
  hold(entry: Entry, key: string): boolean {
    if (entry.lane !== undefined) return true;
    const lane = this.#lanes.get(key);
    if (lane === undefined) {
      entry.lane = { first: undefined, last: undefined };
      this.#lanes.set(key, entry.lane);
      return true;
    }
    if (lane.last === undefined) lane.first = entry;
    else lane.last.next = entry;
    lane.last = entry;
    this.#waiting += 1;
    return false;
  }

  /** The entry is finished. Answers with the one that holds its key from now on, if any waited for it. */
  pass(entry: Entry, key: string): Entry | undefined {
    const { lane } = entry;
    if (lane === undefined) return undefined;
    entry.lane = undefined;
    const next = lane.first;
    if (next === undefined) {
      this.#lanes.delete(key);
      return undefined;
    }
    lane.first = next.next;
    if (lane.first === undefined) lane.last = undefined;
    next.next = undefined;
    next.lane = lane;
    this.#waiting -= 1;
    return next;
  }

  /** Those that wait. */
  *all(): Generator<Entry> {
    for (const lane of this.#lanes.values())
      for (let entry = lane.first; entry !== undefined; entry = entry.next) yield entry;
  }

  /** Forgets all of them. */
  clear(): void {
    this.#lanes.clear();
    this.#waiting = 0;
  }
}
