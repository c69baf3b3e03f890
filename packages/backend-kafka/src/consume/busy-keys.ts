import type { IncomingRecord } from '../wire/message.ts';
import type { Entry, KeyLane } from './entry.ts';

/** A key that stands still. */
export interface StandingKey {
  readonly key: string;
  readonly forMs: number;
  /** How many keys do. */
  readonly keys: number;
}

/** Of what waits for its key, so much is kept in memory; of the rest only the place. */
const maxKeptBytes = 4_194_304;

/** Keys in flight, each held by one entry from when it is taken to when it is finished. */
export class BusyKeys {
  readonly #lanes = new Map<string, KeyLane>();
  #waiting = 0;
  #keptBytes = 0;

  /** How many entries wait for their keys. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Bytes of them that are in memory. */
  get keptBytes(): number {
    return this.#keptBytes;
  }

  /** Whether the entry holds its key, now or since before; else it waits here until it does. */
  hold(entry: Entry, key: string, mayLetGo: boolean): boolean {
    if (entry.lane !== undefined) return true;
    const lane = this.#lanes.get(key);
    if (lane === undefined) {
      entry.lane = { heldSince: performance.now(), first: undefined, last: undefined };
      this.#lanes.set(key, entry.lane);
      return true;
    }
    if (lane.last === undefined) lane.first = entry;
    else lane.last.next = entry;
    lane.last = entry;
    this.#waiting += 1;
    if (mayLetGo && this.#keptBytes >= maxKeptBytes) entry.letGo();
    else this.#keptBytes += entry.size;
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
    lane.heldSince = performance.now();
    next.next = undefined;
    next.lane = lane;
    this.#waiting -= 1;
    if (next.isHere) this.#keptBytes -= next.size;
    return next;
  }

  /** Records of its partition were read again, as many as may be kept are: they need not be read one by one. */
  bringBack(entry: Entry, records: readonly IncomingRecord[]): void {
    const byOffset = new Map(records.map((record) => [record.offset, record]));
    for (let one = entry.lane?.first; one !== undefined; one = one.next) {
      if (this.#keptBytes >= maxKeptBytes) return;
      if (one.isHere || one.tracker !== entry.tracker) continue;
      const record = byOffset.get(one.offset);
      if (record === undefined) return;
      one.bringBack(record);
      this.#keptBytes += one.size;
    }
  }

  /** Of the keys that others wait for and that one entry has held for longer than that, the one that stands longest. */
  standing(minMs: number): StandingKey | undefined {
    const now = performance.now();
    let longest: { readonly key: string; readonly forMs: number } | undefined;
    let keys = 0;
    for (const [key, { first, heldSince }] of this.#lanes) {
      const forMs = now - heldSince;
      if (first === undefined || forMs <= minMs) continue;
      keys += 1;
      if (longest === undefined || forMs > longest.forMs) longest = { key, forMs };
    }
    return longest && { ...longest, keys };
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
    this.#keptBytes = 0;
  }
}
