/** Items that must wait for each other: only the first of them may run. */
export interface Lane<Item> {
  readonly key: string | undefined;
  readonly items: Item[];
}

/** What has entered and not left, in lanes by key. An item without a key has a lane of its own. */
export class Lanes<Item> {
  readonly #byKey = new Map<string, Lane<Item>>();
  /** Lanes whose first item may run, in the order in which that became so. */
  readonly #ready: Lane<Item>[] = [];

  enter(item: Item, key: string | undefined): void {
    const lane = key === undefined ? undefined : this.#byKey.get(key);
    if (lane !== undefined) {
      lane.items.push(item);
      return;
    }
    const opened: Lane<Item> = { key, items: [item] };
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
    lane.items.shift();
    if (lane.items.length > 0) this.#ready.push(lane);
    else if (lane.key !== undefined) this.#byKey.delete(lane.key);
  }

  /** Every item of a lane that is ready, or has a key. */
  *[Symbol.iterator](): IterableIterator<Item> {
    for (const { items } of new Set([...this.#ready, ...this.#byKey.values()])) yield* items;
  }
}
