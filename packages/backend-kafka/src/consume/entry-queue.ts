import type { Entry } from './entry.ts';

/** Entries in the order in which they arrived. Those that were given back have their old places. */
export class EntryQueue {
  /** In their order from `#head` on. */
  #arrived: (Entry | undefined)[] = [];
  #head = 0;
  /** Given back, ascending. */
  readonly #returned: Entry[] = [];
  #sequence = 0;

  get size(): number {
    return this.#arrived.length - this.#head + this.#returned.length;
  }

  /** The place of the last one that arrived. */
  get sequence(): number {
    return this.#sequence;
  }

  append(entry: Entry): void {
    this.#sequence += 1;
    entry.sequence = this.#sequence;
    this.#arrived.push(entry);
  }

  putBack(entry: Entry): void {
    let index = this.#returned.length;
    while (index > 0 && (this.#returned[index - 1] as Entry).sequence > entry.sequence) index -= 1;
    this.#returned.splice(index, 0, entry);
  }

  take(): Entry | undefined {
    const [returned] = this.#returned;
    const arrived = this.#arrived[this.#head];
    if (returned !== undefined && (arrived === undefined || returned.sequence < arrived.sequence))
      return this.#returned.shift();
    if (arrived === undefined) return undefined;
    // The slot must not keep the record in memory.
    this.#arrived[this.#head] = undefined;
    this.#head += 1;
    if (this.#head * 2 > this.#arrived.length) {
      this.#arrived = this.#arrived.slice(this.#head);
      this.#head = 0;
    }
    return arrived;
  }

  /** Those whose place is not beyond that. */
  *upTo(sequence: number): Generator<Entry> {
    for (const entry of this.#returned) if (entry.sequence <= sequence) yield entry;
    for (let at = this.#head; at < this.#arrived.length; at += 1) {
      const entry = this.#arrived[at] as Entry;
      if (entry.sequence > sequence) return;
      yield entry;
    }
  }

  clear(): void {
    this.#arrived = [];
    this.#head = 0;
    this.#returned.length = 0;
  }
}
