/** What waits its turn, first in, first out; from its front some are taken, however many wait. */
export class WaitingLine<Member> {
  #members: Member[] = [];
  #head = 0;

  get size(): number {
    return this.#members.length - this.#head;
  }

  /** Behind the others. */
  add(member: Member): void {
    this.#members.push(member);
  }

  /** The first one, which stays; `undefined` when nothing waits. */
  first(): Member | undefined {
    return this.#members[this.#head];
  }

  /** The first one leaves. */
  shift(): void {
    this.#members[this.#head] = undefined as Member;
    this.#head += 1;
    if (this.#head < maxLeft && this.#head < this.#members.length) return;
    this.#members = this.#members.slice(this.#head);
    this.#head = 0;
  }

  /** Before the others, in their order. */
  addFirst(members: readonly Member[]): void {
    // No spread into arguments: there are no bounds to how many wait.
    this.#members = members.concat(this.#head === 0 ? this.#members : this.#members.slice(this.#head));
    this.#head = 0;
  }

  /** Those for which it is false leave. */
  keep(isKept: (member: Member) => boolean): void {
    this.#members = this.#members.filter((member, index) => index >= this.#head && isKept(member));
    this.#head = 0;
  }
}

/** So many that have left are kept before the array is made anew. */
const maxLeft = 65_536;
