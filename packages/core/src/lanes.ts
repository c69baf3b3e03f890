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
  /** The lane that is ready next after it, while it is ready itself. */
  nextReady: Lane<Item> | undefined;
}

/** What has entered and not left, in lanes by key. An item without a key has a lane of its own. */
export class Lanes<Item extends Linked<Item>> {
  readonly #byKey = new Map<string, Lane<Item>>();
  /** Lanes whose first item may run, in the order in which that became so: linked, for an array is copied as it shifts. */
  #firstReady: Lane<Item> | undefined;
  #lastReady: Lane<Item> | undefined;

  enter(item: Item, key: string | undefined): void {
    const lane = key === undefined ? undefined : this.#byKey.get(key);
    if (lane?.last !== undefined) {
      lane.last.next = item;
      lane.last = item;
      return;
    }
    const opened: Lane<Item> = { key, first: item, last: item, nextReady: undefined };
    if (key !== undefined) this.#byKey.set(key, opened);
    this.resume(opened);
  }

  /** The lane that is ready longest; from then on it is busy, until it is resumed or advanced. */
  takeReady(): Lane<Item> | undefined {
    const lane = this.#firstReady;
    if (lane === undefined) return undefined;
    this.#firstReady = lane.nextReady;
    lane.nextReady = undefined;
    if (this.#firstReady === undefined) this.#lastReady = undefined;
    return lane;
  }

  /** Its first item may run again. */
  resume(lane: Lane<Item>): void {
    if (this.#lastReady === undefined) this.#firstReady = lane;
    else this.#lastReady.nextReady = lane;
    this.#lastReady = lane;
  }

  /** Its first item has left: the next one may run. */
  advance(lane: Lane<Item>): void {
    const left = lane.first;
    lane.first = left?.next;
    // What an old lane or item leads to is kept until the next full collection, and with it all that it leads to.
    if (left !== undefined) left.next = undefined;
    if (lane.first !== undefined) this.resume(lane);
    else {
      lane.last = undefined;
      if (lane.key !== undefined) this.#byKey.delete(lane.key);
    }
  }

  /** Every item of a lane that is ready, or has a key. */
  *[Symbol.iterator](): IterableIterator<Item> {
    const lanes = new Set(this.#byKey.values());
    for (let lane = this.#firstReady; lane !== undefined; lane = lane.nextReady) lanes.add(lane);
    for (const { first } of lanes) for (let item = first; item !== undefined; item = item.next) yield item;
  }
}
