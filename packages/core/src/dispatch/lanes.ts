/** An item of a lane: of one at a time. */
export interface Linked<Item> {
  /** The item behind it. Written by `Lanes` only. */
  next: Item | undefined;
}

/** Items that must wait for each other: only the first of them may run. */
export interface Lane<Item> {
  readonly key: string | undefined;
  /** `undefined` once the last item has left. */
  first: Item | undefined;
  last: Item | undefined;
  /** The next one in the list of ready lanes, while this lane is in it. */
  nextReady: Lane<Item> | undefined;
}

/** Items in lanes, one lane for each key. An item without a key has a lane of its own. */
export class Lanes<Item extends Linked<Item>> {
  readonly #byKey = new Map<string, Lane<Item>>();
  /** Lanes whose first item may run, the longest ready first. A linked list: `shift` copies a long array. */
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

  /** Takes the lane that has been ready for longest. It is busy until it is resumed or advanced. */
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
    // Unlinked: a dead item in V8's old generation keeps every item that it links to until the next full collection.
    if (left !== undefined) left.next = undefined;
    if (lane.first !== undefined) this.resume(lane);
    else {
      lane.last = undefined;
      if (lane.key !== undefined) this.#byKey.delete(lane.key);
    }
  }

  /** Whether there is a lane of that key. */
  has(key: string): boolean {
    return this.#byKey.has(key);
  }

  /** Lanes that have a key, in the order in which they were opened. */
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

  /** Takes all items out of a lane that is neither ready nor running, in their order, and closes the lane. */
  takeAll(lane: Lane<Item>): Item[] {
    const items = unlinked(lane.first);
    lane.first = undefined;
    lane.last = undefined;
    if (lane.key !== undefined) this.#byKey.delete(lane.key);
    return items;
  }

  /** Inserts an item right behind the last item of its key for which `isSame` is true; false when there is none. */
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
