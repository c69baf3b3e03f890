/** Something of a group; what has no group is alone. */
interface Grouped {
  readonly groupId: string | undefined;
}

/** Lets one of each group go at a time, in order; the others wait here. */
export class GroupLanes<Item extends Grouped> {
  /** By group: the one that goes, and those that wait for it. */
  readonly #lanes = new Map<string, Item[]>();

  /** The one that goes in this group, or waits for its time ahead of all others. */
  headOf(groupId: string | undefined): Item | undefined {
    return groupId === undefined ? undefined : this.#lanes.get(groupId)?.[0];
  }

  /** Whether it may go now; if not, it waits. */
  enter(item: Item): boolean {
    if (item.groupId === undefined) return true;
    const lane = this.#lanes.get(item.groupId);
    if (lane === undefined) {
      this.#lanes.set(item.groupId, [item]);
      return true;
    }
    lane.push(item);
    return false;
  }

  /** Answers the one that may go now that this one is over. */
  leave(item: Item): Item | undefined {
    const lane = this.#laneOf(item);
    if (lane === undefined) return undefined;
    const wasFirst = lane[0] === item;
    lane.splice(lane.indexOf(item), 1);
    if (lane.length === 0) this.#lanes.delete(item.groupId as string);
    return wasFirst ? lane[0] : undefined;
  }

  /** Those that wait behind this one. */
  followersOf(item: Item): readonly Item[] {
    const lane = this.#laneOf(item);
    return lane?.slice(lane.indexOf(item) + 1) ?? [];
  }

  /** Takes out those that wait behind this one. */
  takeFollowers(item: Item): Item[] {
    const lane = this.#laneOf(item);
    return lane?.splice(lane.indexOf(item) + 1) ?? [];
  }

  /** Takes out all that wait. */
  takeWaiting(): Item[] {
    return [...this.#lanes.values()].flatMap((lane) => lane.splice(1));
  }

  #laneOf(item: Item): Item[] | undefined {
    if (item.groupId === undefined) return undefined;
    const lane = this.#lanes.get(item.groupId);
    return lane?.includes(item) === true ? lane : undefined;
  }
}
