import type { Message } from '@melange/core';

/** A message in its queue. */
export interface Entry {
  readonly message: Message;
  /** Place in the queue: smaller is earlier. */
  sequence: number;
  /** Attempt that the next delivery is. */
  attempt: number;
  /** How often it was handed out and not settled since it was last retried for what its run did. */
  redeliveries: number;
  /** Index among the entries that are handed over and not settled; -1 for the others. */
  heldAt: number;
}

/** How many taken slots may stay at the front before the array is shortened. */
const maxTakenSlots = 1_024;

/** Entries by sequence. Adding at the end and taking cost the same at any depth; few entries come back to an earlier place. */
export class EntryList {
  /** Entries that came back to a place before the end of `#tail`, the earliest last. */
  readonly #returned: Entry[] = [];
  /** Entries in their order from `#head` on; slots before it are taken. */
  #tail: (Entry | undefined)[] = [];
  #head = 0;

  get size(): number {
    return this.#returned.length + this.#tail.length - this.#head;
  }

  add(entry: Entry): void {
    const last = this.#tail.at(-1);
    if (last === undefined || last.sequence < entry.sequence) this.#tail.push(entry);
    else this.#return(entry);
  }

  /** The earliest entry, which leaves the list. */
  take(): Entry | undefined {
    const returned = this.#returned.at(-1);
    const first = this.#tail[this.#head];
    if (returned !== undefined && (first === undefined || returned.sequence < first.sequence))
      return this.#returned.pop();
    if (first === undefined) return undefined;
    // The slot must not keep the message in memory.
    this.#tail[this.#head] = undefined;
    this.#head += 1;
    // Only when most slots are taken: each entry is then moved a constant number of times, however many there are.
    if (this.#head >= maxTakenSlots && this.#head * 2 >= this.#tail.length) {
      this.#tail = this.#tail.slice(this.#head);
      this.#head = 0;
    }
    return first;
  }

  /** The earliest entries after a place, in their order, which stay; of those that came back, and of the others, at most `limit` each. */
  *after(sequence: number, limit: number): Generator<Entry> {
    let left = limit;
    for (let index = this.#returned.length - 1; index >= 0 && left > 0; index -= 1) {
      const entry = this.#returned[index] as Entry;
      if (entry.sequence <= sequence) continue;
      left -= 1;
      yield entry;
    }
    const start = this.#placeAfter(sequence);
    yield* this.#tail.slice(start, start + limit) as Entry[];
  }

  /** Index in `#tail` of the first entry after a place. */
  #placeAfter(sequence: number): number {
    let [low, high] = [this.#head, this.#tail.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#tail[middle] as Entry).sequence > sequence) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  #return(entry: Entry): void {
    let [low, high] = [0, this.#returned.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#returned[middle] as Entry).sequence > entry.sequence) low = middle + 1;
      else high = middle;
    }
    this.#returned.splice(low, 0, entry);
  }
}
