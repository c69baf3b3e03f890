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
}

/** How many taken slots may stay at the front before the array is shortened. */
const mostTakenSlots = 1_024;

/**
 * Entries by sequence. Adding at the end and taking cost the same at any depth; an entry that comes back to an
 * earlier place costs the logarithm of the number of those that came back.
 */
export class EntryList {
  /** Entries that came back to a place before the end of `#tail`: a binary heap, earliest on top. */
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
    else this.#pushReturned(entry);
  }

  /** The earliest entry, which leaves the list. */
  take(): Entry | undefined {
    const [returned] = this.#returned;
    const first = this.#tail[this.#head];
    if (returned !== undefined && (first === undefined || returned.sequence < first.sequence)) {
      this.#popReturned();
      return returned;
    }
    if (first === undefined) return undefined;
    // The slot must not keep the message in memory.
    this.#tail[this.#head] = undefined;
    this.#head += 1;
    this.#dropTakenSlots();
    return first;
  }

  /** Only when most slots are taken: each entry is then moved a constant number of times, however many there are. */
  #dropTakenSlots(): void {
    if (this.#head < mostTakenSlots || this.#head * 2 < this.#tail.length) return;
    this.#tail = this.#tail.slice(this.#head);
    this.#head = 0;
  }

  #pushReturned(entry: Entry): void {
    const heap = this.#returned;
    let index = heap.length;
    while (index > 0) {
      const parentIndex = (index - 1) >> 1;
      const parent = heap[parentIndex] as Entry;
      if (parent.sequence < entry.sequence) break;
      heap[index] = parent;
      index = parentIndex;
    }
    heap[index] = entry;
  }

  #popReturned(): void {
    const heap = this.#returned;
    const moved = heap.pop() as Entry;
    if (heap.length === 0) return;
    let index = 0;
    for (;;) {
      const leftIndex = index * 2 + 1;
      const left = heap[leftIndex];
      if (left === undefined) break;
      const right = heap[leftIndex + 1];
      const rightIsEarlier = right !== undefined && right.sequence < left.sequence;
      const child = rightIsEarlier ? right : left;
      if (moved.sequence < child.sequence) break;
      heap[index] = child;
      index = rightIsEarlier ? leftIndex + 1 : leftIndex;
    }
    heap[index] = moved;
  }
}
