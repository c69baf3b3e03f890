/** What can stand in a lane, in one at a time. */
export interface Linked<Item> {
  /** The one behind it there. Only `Lanes` writes it. */
  next: Item | undefined;
}

/** Items that must wait for each other: only the first of them may run. */
export interface Lane<Item> {
  readonly key: string | undefined;
  /** None once the last one has left. */
  first: Item | undefined;
  last: Item | undefined;
}

/** What has entered and not left, in lanes by key. An item without a key has a lane of its own. */
export class Lanes<Item extends Linked<Item>> {
  readonly #byKey = new Map<string, Lane<Item>>();
  /** Lanes whose first item may run, in the order in which that became so. */
  readonly #ready: Lane<Item>[] = [];

  enter(item: Item, key: string | undefined): void {
    const lane = key === undefined ? undefined : this.#byKey.get(key);
    if (lane?.last !== undefined) {
      lane.last.next = item;
      lane.last = item;
      return;
    }
    const opened: Lane<Item> = { key, first: item, last: item };
    if (key !== undefined) this.#byKey.set(key, opened);
    this.#ready.push(opened);
  }

  /** The lane that is ready longest; from then on it is busy, until it is resumed or advanced. */
  takeReady(): Lane<Item> | undefined {
    return this.#ready.shift();
  }

  /** Its first item may run again. */
  resume(lane: Lane<Item>): void {
    this.#ready.push(lane);
  }

  /** Its first item has left: the next one may run. */
  advance(lane: Lane<Item>): void {
    const left = lane.first;
    lane.first = left?.next;
    // What an old lane or item leads to is kept until the next full collection, and with it all that it leads to.
    if (left !== undefined) left.next = undefined;
    if (lane.first !== undefined) this.#ready.push(lane);
    else {
      lane.last = undefined;
      if (lane.key !== undefined) this.#byKey.delete(lane.key);
    }
  }

  /** Every item of a lane that is ready, or has a key. */
  *[Symbol.iterator](): IterableIterator<Item> {
    for (const { first } of new Set([...this.#ready, ...this.#byKey.values()]))
      for (let item = first; item !== undefined; item = item.next) yield item;
  }
}
