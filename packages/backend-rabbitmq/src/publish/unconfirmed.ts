/** What a broker answers about messages that were published on a channel. */
export interface Confirmation {
  readonly deliveryTag: number;
  /** Whether it is about all up to that one. */
  readonly multiple: boolean;
}

/** Answered messages are kept until there are so many of them: to make the lists anew for each costs more. */
const minAnswered = 1_024;

/** What was published on one channel and is not answered yet, by delivery tags, which count up from 1. */
export class Unconfirmed<Batch> {
  /** The batch of each message; nothing where it is answered. */
  #batches: (Batch | undefined)[] = [];
  /** The place of each message in its batch. */
  #places: number[] = [];
  /** The first that may be unanswered, and its tag. */
  #head = 0;
  #tag = 1;

  /** Takes in what was published just now. */
  add(batch: Batch, place: number): void {
    this.#batches.push(batch);
    this.#places.push(place);
  }

  /** Lets go of the messages that an answer is about, and shows each to `look`, in the order of their publication. */
  take({ deliveryTag, multiple }: Confirmation, look: (batch: Batch, place: number) => void): void {
    const last = this.#head + deliveryTag - this.#tag;
    if (last < this.#head || last >= this.#batches.length) return;
    for (let index = multiple ? this.#head : last; index <= last; index += 1) {
      const batch = this.#batches[index];
      this.#batches[index] = undefined;
      if (batch !== undefined) look(batch, this.#places[index] as number);
    }
    this.#forgetAnswered();
  }

  /** All of them, in the order of their publication. */
  all(): (readonly [batch: Batch, place: number])[] {
    return this.#batches.flatMap((batch, index) =>
      batch === undefined ? [] : [[batch, this.#places[index] as number] as const],
    );
  }

  #forgetAnswered(): void {
    const head = this.#head;
    while (this.#head < this.#batches.length && this.#batches[this.#head] === undefined) this.#head += 1;
    this.#tag += this.#head - head;
    // Copied for every half that is answered: the cost stays the same for each, however many are under way.
    const enough = Math.max(minAnswered, this.#batches.length / 2);
    if (this.#head < this.#batches.length && this.#head < enough) return;
    this.#batches = this.#batches.slice(this.#head);
    this.#places = this.#places.slice(this.#head);
    this.#head = 0;
  }
}
