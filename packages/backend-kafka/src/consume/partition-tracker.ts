import type { Commit } from '../client/index.ts';
import { crashesIn } from '../wire/crash-marks.ts';
import {
  describeFinished,
  finishedBeyond,
  finishedMark,
  maxMetadataBytes,
} from '../wire/finished-offsets.ts';
import { CrashAccount } from './crash-account.ts';

/** What is finished of one partition, while it is ours. */
export class PartitionTracker {
  readonly topic: string;
  readonly partition: number;
  /** Which of its records may end the process. */
  readonly crashes: CrashAccount;
  isPaused = false;
  /** The offset that the broker would give to the next record, as far as we have heard. */
  highWatermark = 0;
  /** Offsets from the first unfinished one on, in order; slots before `#head` are done with. */
  #offsets: number[] = [];
  /** Whether they are finished, each at the index of its offset: no object for each of them. */
  #finished: boolean[] = [];
  #head = 0;
  /** Finished in an earlier life of the partition. */
  readonly #finishedBefore: Set<number>;
  #position: number;
  #isKnown: boolean;
  #isDirty = false;
  #movedAt = performance.now();

  /**
   * @param finished offsets beyond `start` that need not be delivered.
   * @param isKnown whether the group has committed something before.
   */
  constructor(
    topic: string,
    partition: number,
    start: number,
    finished: Set<number>,
    isKnown = true,
    crashes: CrashAccount = new CrashAccount(undefined, '', start),
  ) {
    this.topic = topic;
    this.partition = partition;
    this.#isKnown = isKnown;
    this.#position = start;
    this.#finishedBefore = finished;
    this.crashes = crashes;
  }

  /** Whether the group has been here before: then no record from the position on may be missing. */
  get isKnown(): boolean {
    return this.#isKnown;
  }

  /** The offset after the last one received. */
  get position(): number {
    return this.#position;
  }

  /** Received and kept track of: from the first unfinished offset on. */
  get size(): number {
    return this.#offsets.length - this.#head;
  }

  /** Every offset below is finished. */
  get prefix(): number {
    return this.#offsets[this.#head] ?? this.#position;
  }

  /** How long its first unfinished offset has been the same, in ms; where there is none, since the last one was. */
  get unmovedMs(): number {
    return performance.now() - this.#movedAt;
  }

  get isDirty(): boolean {
    return this.#isDirty;
  }

  /** Whether the record is new, and to be processed. */
  receive(offset: number): boolean {
    if (offset < this.#position) return false;
    this.#isKnown = true;
    this.#position = offset + 1;
    this.#offsets.push(offset);
    this.#finished.push(false);
    if (this.#finishedBefore.size === 0) return true;
    if (!this.#finishedBefore.delete(offset)) return true;
    this.finish(offset);
    return false;
  }

  /** Offsets up to there hold nothing for us: markers of transactions, aborted records. */
  passOver(lastOffset: number): void {
    if (lastOffset < this.#position) return;
    this.#isKnown = true;
    this.#position = lastOffset + 1;
    if (this.size === 0) this.#isDirty = true;
  }

  /** The log begins anew: what was known of it is no longer true. */
  restart(): void {
    this.#offsets = [];
    this.#finished = [];
    this.#head = 0;
    this.#finishedBefore.clear();
    this.#position = 0;
  }

  finish(offset: number): void {
    const index = this.#indexOf(offset);
    if (index === undefined || this.#finished[index] === true) return;
    this.#finished[index] = true;
    this.#isDirty = true;
    if (this.#finished[this.#head] === true) this.#movedAt = performance.now();
    while (this.#finished[this.#head] === true) this.#head += 1;
    // Only when most slots are done with: each is then moved a constant number of times.
    if (this.#head > 1_024 && this.#head * 2 > this.#offsets.length) {
      this.#offsets = this.#offsets.slice(this.#head);
      this.#finished = this.#finished.slice(this.#head);
      this.#head = 0;
    }
  }

  /** What to commit now, with so many bytes of metadata. Counts as committed until `commitFailed`. */
  commit(longest: number = maxMetadataBytes): Commit {
    this.#isDirty = false;
    const { topic, partition, prefix } = this;
    this.crashes.progress(prefix);
    const crashes = this.crashes.textAt(prefix);
    const isTooLong = finishedMark.length + crashes.length > longest;
    const room = isTooLong ? longest : longest - crashes.length;
    const finished = describeFinished(prefix, this.#beyond(), room);
    const metadata = isTooLong || crashes === '' ? finished : `${finished || finishedMark}${crashes}`;
    return { topic, partition, offset: prefix, metadata };
  }

  /** There is something to commit: a commit failed, or says something new of crashes. */
  markDirty(): void {
    this.#isDirty = true;
  }

  /** Offsets ascend, most often one by one; where there are gaps, it is sought by halves. */
  #indexOf(offset: number): number | undefined {
    let low = this.#head;
    let high = this.#offsets.length - 1;
    const likely = low + offset - this.prefix;
    if (this.#offsets[likely] === offset) return likely;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const found = this.#offsets[middle] as number;
      if (found === offset) return middle;
      if (found < offset) low = middle + 1;
      else high = middle - 1;
    }
    return undefined;
  }

  *#beyond(): Generator<number> {
    for (let index = this.#head; index < this.#offsets.length; index += 1)
      if (this.#finished[index] === true) yield this.#offsets[index] as number;
    // Not received yet in this life: what was known of them must not be forgotten.
    yield* [...this.#finishedBefore].filter((offset) => offset >= this.#position).sort((a, b) => a - b);
  }
}

/**
 * What a commit says of a partition; its offset is below 0 where the group has committed nothing.
 *
 * @param owner this process.
 */
export function trackerFrom({ topic, partition, offset, metadata }: Commit, owner: string): PartitionTracker {
  const start = Math.max(0, offset);
  const crashes = new CrashAccount(crashesIn(metadata, start), owner, start);
  return new PartitionTracker(topic, partition, start, finishedBeyond(metadata, start), offset >= 0, crashes);
}
