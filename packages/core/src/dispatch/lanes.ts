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

  /** Whether something of that key has entered and not left. */
  has(key: string): boolean {
    return this.#byKey.has(key);
  }

  /** Lanes of keys, in the order in which they were opened. What is taken from them meanwhile is not seen. */
  *withKeys(): IterableIterator<Lane<Item> & { readonly key: string }> {
    for (const lane of this.#byKey.values()) yield lane as Lane<Item> & { readonly key: string };
  }

  /** Takes out what waits behind the first item of a lane, in its order. */
  takeFollowers(lane: Lane<Item>): Item[] {
    const { first } = lane;
    const followers = first === undefined ? [] : unlinked(first.next);
    if (first !== undefined) first.next = undefined;
    lane.last = first;
    return followers;
  }

  /** Takes out everything of a lane that is neither ready nor running, in its order: the lane is over. */
  takeAll(lane: Lane<Item>): Item[] {
    const items = unlinked(lane.first);
    lane.first = undefined;
    lane.last = undefined;
    if (lane.key !== undefined) this.#byKey.delete(lane.key);
    return items;
  }

  /** Lets an item in right behind the last one of its key that is the same; false when there is none. */
  enterBehindSame(key: string, item: Item, isSame: (other: Item) => boolean): boolean {
    const lane = this.#byKey.get(key);
    let same: Item | undefined;
    for (let other = lane?.first; other !== undefined; other = other.next) if (isSame(other)) same = other;
    if (lane === undefined || same === undefined) return false;
    item.next = same.next;
    same.next = item;
    if (lane.last === same) lane.last = item;
    return true;
  }

  /** Every item of a lane that is ready, or has a key. */
  *[Symbol.iterator](): IterableIterator<Item> {
    const lanes = new Set(this.#byKey.values());
    for (let lane = this.#firstReady; lane !== undefined; lane = lane.nextReady) lanes.add(lane);
    for (const { first } of lanes) for (let item = first; item !== undefined; item = item.next) yield item;
  }
}

function unlinked<Item extends Linked<Item>>(first: Item | undefined): Item[] {
  const items: Item[] = [];
  for (let item = first; item !== undefined; ) {
    const { next } = item;
    item.next = undefined;
    items.push(item);
    item = next;
  }
  return items;
}
