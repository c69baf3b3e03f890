import type { Message } from '@melange/core';

/** A message in its queue. */
export interface Entry {
  readonly message: Message;
  /** Place in the queue: smaller is earlier. */
  sequence: number;
  /** Attempt that the next delivery is. */
  attempt: number;
}

/**
 * Entries by sequence. Appending and taking are constant in time at any depth; putting an entry back costs the
 * number of entries that were put back before it, which is bounded by the deliveries in flight.
 */
export class EntryList {
  /** Entries that came back; all of them are earlier than those of `#tail`. */
  readonly #returned: Entry[] = [];
  #tail: Entry[] = [];
  #head = 0;

  get size(): number {
    return this.#returned.length + this.#tail.length - this.#head;
  }

  append(entry: Entry): void {
    this.#tail.push(entry);
  }

  putBack(entry: Entry): void {
    let index = this.#returned.length;
    while (index > 0 && (this.#returned[index - 1] as Entry).sequence > entry.sequence) index -= 1;
    this.#returned.splice(index, 0, entry);
  }

  take(): Entry | undefined {
    if (this.#returned.length > 0) return this.#returned.shift();
    const entry = this.#tail[this.#head];
    if (entry === undefined) return undefined;
    this.#head += 1;
    // Dropping the used half now and then keeps taking constant, without moving the rest each time.
    if (this.#head > 1_024 && this.#head * 2 > this.#tail.length) {
      this.#tail = this.#tail.slice(this.#head);
      this.#head = 0;
    }
    return entry;
  }
}
