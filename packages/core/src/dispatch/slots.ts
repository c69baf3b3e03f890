/** What can be held by `Slots`, in one of them at a time. */
export interface Slotted {
  /** Its place there; below 0 while it is in none. Only `Slots` writes it. */
  slot: number;
}

/**
 * What is under way: a set without order, for members that come and go with every message. Unlike a `Set` it
 * allocates nothing for them. A `Set` copies its table again and again as its members change, and a copy that was
 * left behind keeps those that it held in memory until the next full collection.
 */
export class Slots<Member extends Slotted> {
  readonly #members: Member[] = [];

  /** How many there are. */
  get size(): number {
    return this.#members.length;
  }

  /** Takes in a member that is in no slots. */
  add(member: Member): void {
    member.slot = this.#members.length;
    this.#members.push(member);
  }

  /** Whether the member, which is in no other slots, is in these. */
  has(member: Member): boolean {
    return member.slot >= 0;
  }

  /** Lets the member go; false when it was not there. */
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

  /** The members of this moment, in no order; they may go meanwhile. */
  all(): Member[] {
    return [...this.#members];
  }
}
