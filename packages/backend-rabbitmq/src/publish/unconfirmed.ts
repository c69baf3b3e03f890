/** What a broker answers about messages that were published on a channel. */
export interface Confirmation {
  readonly deliveryTag: number;
  /** Whether it is about all up to that one. */
  readonly multiple: boolean;
}

/** What was published on one channel and is not answered yet, by delivery tags, which count up from 1. */
export class Unconfirmed<Member> {
  /** Those that were answered ahead of others are `undefined`. */
  #members: (Member | undefined)[] = [];
  /** The first that may be unanswered, and its tag. */
  #head = 0;
  #tag = 1;

  /** Takes in what was published just now. */
  add(member: Member): void {
    this.#members.push(member);
  }

  /** Lets go of those that an answer is about, in the order of their publication. */
  take({ deliveryTag, multiple }: Confirmation): Member[] {
    const last = this.#head + deliveryTag - this.#tag;
    const taken: Member[] = [];
    if (last < this.#head || last >= this.#members.length) return taken;
    for (let index = multiple ? this.#head : last; index <= last; index += 1) {
      const member = this.#members[index];
      if (member !== undefined) taken.push(member);
      this.#members[index] = undefined;
    }
    this.#forgetAnswered();
    return taken;
  }

  /** All of them, in the order of their publication. */
  all(): Member[] {
    return this.#members.filter((member) => member !== undefined);
  }

  #forgetAnswered(): void {
    const head = this.#head;
    while (this.#head < this.#members.length && this.#members[this.#head] === undefined) this.#head += 1;
    this.#tag += this.#head - head;
    // A copy for every half that is answered: their cost stays the same for each, however many are under way.
    const enough = Math.max(minAnswered, this.#members.length / 2);
    if (this.#head < this.#members.length && this.#head < enough) return;
    this.#members = this.#members.slice(this.#head);
    this.#head = 0;
  }
}

/** So many that are answered are kept at least before the array is made anew. */
const minAnswered = 1_024;
