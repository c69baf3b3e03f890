import { type CrashMarks, describeCrashes } from '../wire/crash-marks.ts';

/** After so many owners that ended at one offset, the records from it on run one at a time. */
export const startsUntilSuspicion = 3;

/**
 * Finds the record of a partition that ends its process, which Kafka does not count. Each owner writes once that it
 * begins, before it hands over its first records; the write is taken back when it gets beyond the committed offset, or
 * leaves in order. After three that did neither, the records that they had received are suspects: one runs at a time, and
 * which one is written before. What is written when an owner ends so is the record that ended it. When that is
 * dead-lettered, the others run as ever: should there be a second one, it is sought in the same way.
 */
export class CrashAccount {
  readonly #owner: string;
  readonly #startedAt: number;
  /** Owners before this one. */
  #starts: number;
  #bound: number;
  #suspectsBelow = 0;
  #blamed: { offset: number; count: number } | undefined;
  #running: number | undefined;
  #hasBegun = false;
  #hasProgressed = false;

  /**
   * @param marks of the owners before.
   * @param owner this process.
   * @param offset that was committed.
   */
  constructor(marks: CrashMarks | undefined, owner: string, offset: number) {
    this.#owner = owner;
    this.#startedAt = offset;
    // This process itself, back after a lost connection: it did not end.
    const own = marks?.owner === owner ? 1 : 0;
    this.#starts = Math.max(0, (marks?.starts ?? 0) - own);
    this.#bound = marks?.bound ?? 0;
    const alone = marks?.alone;
    if (alone !== undefined && alone.count > own)
      this.#blamed = { offset: alone.offset, count: alone.count - own };
    if (this.#starts >= startsUntilSuspicion || this.#blamed !== undefined) this.#suspectsBelow = this.#bound;
  }

  /** Records up to `end` are about to be handed over. Answers whether that has to be committed before. */
  begin(end: number): boolean {
    if (this.#hasProgressed || this.isSearching) return false;
    const isFirst = !this.#hasBegun;
    this.#hasBegun = true;
    // The first owner may end at a record that it has not told of. It is told of by the next ones.
    const isMore = this.#starts > 0 && end > this.#bound;
    this.#bound = Math.max(this.#bound, end);
    return isFirst || isMore;
  }

  /** Every offset below is finished. */
  progress(offset: number): void {
    if (offset > this.#startedAt) this.#hasProgressed = true;
    if (offset >= this.#suspectsBelow) this.#suspectsBelow = 0;
    if (this.#blamed !== undefined && this.#blamed.offset < offset) this.#blamed = undefined;
  }

  /** Whether one of the records that owners before had received is sought: until these are finished each runs alone. */
  get isSearching(): boolean {
    return this.#suspectsBelow > 0;
  }

  /** How often the record was handed out before without being settled, as far as it is known. */
  redeliveriesOf(offset: number): number {
    if (this.#blamed?.offset === offset) return this.#blamed.count;
    return offset < this.#suspectsBelow ? startsUntilSuspicion : 0;
  }

  /** The record is about to run alone: to be committed before. */
  runAlone(offset: number): void {
    this.#running = offset;
  }

  /** It was settled, or given back. */
  ranAlone(offset: number): void {
    if (this.#running !== offset) return;
    this.#running = undefined;
    if (this.#blamed?.offset === offset) this.#blamed = undefined;
  }

  /** The record that ended the processes was found, and is out of the way: the others are no suspects any more. */
  found(): void {
    this.#starts = 0;
    this.#suspectsBelow = 0;
    this.#blamed = undefined;
    this.#hasProgressed = true;
  }

  /** The partition is given up in order. Answers whether there is something to take back. */
  leave(): boolean {
    const hasBegun = this.#hasBegun || this.#running !== undefined;
    this.#hasBegun = false;
    this.#running = undefined;
    return hasBegun;
  }

  /** For the metadata of a commit at `offset`; empty where there is nothing to remember. */
  textAt(offset: number): string {
    const isSearching = this.#suspectsBelow > offset;
    const begun = this.#hasBegun && !isSearching ? 1 : 0;
    const hasProgressed = this.#hasProgressed || offset > this.#startedAt;
    const starts = hasProgressed && !isSearching ? 0 : this.#starts + begun;
    const alone = this.#alone();
    if (starts === 0 && alone === undefined) return '';
    return describeCrashes({ starts, bound: this.#bound, alone, owner: this.#owner }, offset);
  }

  #alone(): CrashMarks['alone'] {
    if (this.#running === undefined) return this.#blamed;
    return { offset: this.#running, count: this.redeliveriesOf(this.#running) + 1 };
  }
}
