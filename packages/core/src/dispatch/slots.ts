/** A member of a `Slots`: of one at a time. */
export interface Slotted {
  /** Its index there; below 0 while it is in none. Written by `Slots` only. */
  slot: number;
}

/**
 * A set without order, for members that are added and deleted with every message. Unlike a `Set` it allocates nothing
 * for them. A `Set` copies its table now and then as members change, and an old table keeps its members in memory
 * until the next full collection.
 */
export class Slots<Member extends Slotted> {
  readonly #members: Member[] = [];

  /** How many there are. */
  get size(): number {
    return this.#members.length;
  }

  /** Adds a member that is in no `Slots`. */
  add(member: Member): void {
    member.slot = this.#members.length;
    this.#members.push(member);
  }

  /** Whether the member is in here, given that it is in no other `Slots`. */
  has(member: Member): boolean {
    return member.slot >= 0;
  }

  /** Deletes the member; false when it was not in here. */
  delete(member: Member): boolean {
    const { slot } = member;
    if (slot < 0) return false;
    const last = this.#members.pop() as Member;
    if (last !== member) {
      this.#members[slot] = last;
      last.slot = slot;
    }
    member.slot = -1;
    return true;
  }

  /** A copy of the members, in no order. */
  all(): Member[] {
    return [...this.#members];
  }
}
