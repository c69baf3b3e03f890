import type { BatchLimits } from '../driver.ts';

/** As much of a message as its place in a batch depends on. */
interface Waiting {
  readonly bytes: number;
  readonly isSettled: boolean;
}

/** Messages that left are taken off the list when there are so many of them: to move the list for each batch costs more. */
const minDropped = 4_096;

/** Messages that wait to be sent, first in, first out, and leave by the batch. */
export class WaitingLine<Item extends Waiting> {
  #items: Item[] = [];
  /** Place of the first message that did not leave. */
  #head = 0;

  get isEmpty(): boolean {
    return this.#head === this.#items.length;
  }

  add(item: Item): void {
    this.#items.push(item);
  }

  /**
   * The next batch, which leaves; without messages that are settled.
   *
   * @param onlyFull leaves messages where they are that do not fill a batch.
   */
  nextBatch({ maxMessages, maxBytes }: BatchLimits, onlyFull: boolean): Item[] | undefined {
    const batch: Item[] = [];
    let bytes = 0;
    let isFull = false;
    let place = this.#head;
    for (; place < this.#items.length && !isFull; place += 1) {
      const next = this.#items[place] as Item;
      if (next.isSettled) continue;
      if (batch.length > 0 && bytes + next.bytes > maxBytes) {
        isFull = true;
        break;
      }
      batch.push(next);
      bytes += next.bytes;
      isFull = batch.length >= maxMessages || bytes >= maxBytes;
    }
    if (batch.length === 0 || (onlyFull && !isFull)) return undefined;
    this.#head = place;
    this.#dropSent();
    return batch;
  }

  /** Shows every message to `look`, and takes off those that are settled then: they would hold their content for as long as an outage lasts. */
  review(look: (item: Item) => void): void {
    this.#items = this.#items.slice(this.#head);
    this.#head = 0;
    this.#items.forEach(look);
    this.#items = this.#items.filter(({ isSettled }) => !isSettled);
  }

  #dropSent(): void {
    if (this.isEmpty) this.#items = [];
    else if (this.#head >= minDropped) this.#items = this.#items.slice(this.#head);
    else return;
    this.#head = 0;
  }
}
