import { Slots } from '@melange/core/adapter';
import type { IncomingRecord } from '../wire/message.ts';
import { BusyKeys, type StandingKey } from './busy-keys.ts';
import { DelayedEntries } from './delayed-entries.ts';
import { Entry } from './entry.ts';
import { EntryQueue } from './entry-queue.ts';
import type { PartitionTracker } from './partition-tracker.ts';
import { Suspects } from './suspects.ts';
import type { TakenRecord } from './taken-record.ts';

/** How much may be at hand. */
export interface Limit {
  readonly records: number;
  readonly bytes: number;
}

/** Reads again a record that was let go: from it on, as many as come along. None when it is there no more. */
export type ReadAgain = (assignment: Assignment, entry: Entry) => Promise<readonly IncomingRecord[]>;

/**
 * What one generation of the group gave to this process: partitions, and the records at hand. When the partitions
 * are lost, all of it is, as one.
 */
export class Assignment {
  readonly trackers: ReadonlyMap<string, PartitionTracker>;
  /** Handed over and not settled, or settled and the copy of it still under way. */
  readonly busy: Slots<TakenRecord> = new Slots();
  /** At hand as well, to run one at a time. */
  readonly suspects: Suspects = new Suspects();
  readonly #onReady: () => void;
  readonly #queue = new EntryQueue();
  readonly #keys = new BusyKeys();
  readonly #delayed: DelayedEntries;
  readonly #readAgain: ReadAgain | undefined;
  /** They hold their keys, and are being read again. */
  #coming = 0;
  readonly #onIdle: (() => void)[] = [];
  /** Those who wait for room. */
  #waiters: { readonly limit: Limit; readonly done: () => void }[] = [];
  #bytes = 0;
  #working = 0;
  /** That of the last call of `detachOld`. */
  #sequenceBefore = 0;
  isLost = false;

  /** @param readAgain without it nothing is let go. */
  constructor(
    trackers: ReadonlyMap<string, PartitionTracker>,
    onReady: () => void,
    readAgain?: ReadAgain | undefined,
  ) {
    this.trackers = trackers;
    this.#onReady = onReady;
    this.#readAgain = readAgain;
    this.#delayed = new DelayedEntries((entry) => {
      this.#append(entry);
      onReady();
    });
  }

  /** Records that could be handed over, sooner or later. */
  get buffered(): number {
    return this.ready + this.#keys.waiting + this.#coming;
  }

  /** Bytes of them that are in memory. */
  get bufferedBytes(): number {
    return this.#bytes + this.#keys.keptBytes;
  }

  /** Those of them that need not wait for their keys: a key that stands still must not stop the others. */
  get ready(): number {
    return this.#queue.size + this.suspects.size;
  }

  /** Whether as many records are ready, or records of as many bytes are at hand. */
  holds({ records, bytes }: Limit): boolean {
    return this.ready >= records || this.bufferedBytes >= bytes;
  }

  /** Entries that wait for their time. */
  get waiting(): number {
    return this.#delayed.size;
  }

  /** The key that stands still for longest, if one has for longer than that. */
  standingKey(minMs: number): StandingKey | undefined {
    return this.#keys.standing(minMs);
  }

  /** Records of the broker that are not finished, without those that wait for their time. */
  get lag(): number {
    let beyond = 0;
    for (const { highWatermark, position } of this.trackers.values())
      beyond += Math.max(0, highWatermark - position);
    return beyond + this.buffered + this.busy.size;
  }

  tracker(topic: string, partition: number): PartitionTracker | undefined {
    return this.trackers.get(`${topic}/${partition}`);
  }

  /** Takes a record of a partition of ours that is new. */
  add(record: IncomingRecord, tracker: PartitionTracker): void {
    const entry = new Entry(record, tracker);
    if (entry.notBefore > 0 && this.#delayed.hold(entry)) entry.detach();
    else this.#append(entry);
  }

  /** The next entry to hand over, whose key is then busy. */
  take(): Entry | undefined {
    for (;;) {
      const suspect = this.suspects.take();
      const entry = suspect ?? this.#queue.take();
      if (entry === undefined) break;
      if (suspect === undefined) {
        if (entry.key !== undefined && !this.#keys.hold(entry, entry.key, this.#readAgain !== undefined)) {
          this.#bytes -= entry.size;
          continue;
        }
        if (entry.tracker.crashes.isSearching) {
          this.suspects.add(entry);
          continue;
        }
      }
      this.#bytes -= entry.size;
      this.#tellRoom();
      return entry;
    }
    this.#tellRoom();
    return undefined;
  }

  /** The next entry that has to run alone, when none does; it is taken once it is `suspects.ready`. */
  chooseSuspect(): Entry | undefined {
    for (const entry of this.suspects.takeInnocent()) this.#queue.putBack(entry);
    return this.suspects.choose();
  }

  /** The entry is done with for good. */
  finish(entry: Entry): void {
    entry.tracker.finish(entry.offset);
    this.suspects.done(entry);
    if (entry.key === undefined) return;
    const next = this.#keys.pass(entry, entry.key);
    if (next === undefined || this.isLost) return;
    if (next.isHere) this.#putInPlace(next);
    else void this.#bring(next);
  }

  /** Comes again in its old place, and holds its key until then. */
  putBack(entry: Entry): void {
    if (this.isLost) return;
    this.suspects.done(entry);
    this.#putInPlace(entry);
  }

  /**
   * Records that were here at the last call as well let go of what was fetched with them: one that stays would keep
   * all of its fetch in memory.
   */
  detachOld(): void {
    for (const entry of this.#queue.upTo(this.#sequenceBefore)) entry.detach();
    for (const entry of [...this.#keys.all(), ...this.busy.all().map((delivery) => delivery.entry)])
      if (entry.sequence <= this.#sequenceBefore) entry.detach();
    this.#sequenceBefore = this.#queue.sequence;
  }

  /** Entries of the partition that are due only after `time`, the first one first. They are forgotten here. */
  takeWaiting(tracker: PartitionTracker, time: number): Entry[] {
    return this.#delayed.takeAfter(tracker, time);
  }

  /** The delivery needs nothing of this process any more. */
  leaveBusy(taken: TakenRecord): void {
    this.busy.delete(taken);
    this.#lookIfIdle();
  }

  /** Works on records that are nobody's delivery: given up in the middle, they would be there twice. */
  async working(work: () => Promise<void>): Promise<void> {
    this.#working += 1;
    try {
      await work();
    } finally {
      this.#working -= 1;
      this.#lookIfIdle();
    }
  }

  /** Resolves when nothing is busy or worked on, or the deadline has passed. */
  idle(deadlineMs: number): Promise<void> {
    if (this.#isIdle) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(done, deadlineMs);
      this.#onIdle.push(done);
    });
  }

  /** Resolves when less is at hand, or when all are dropped. */
  room(limit: Limit): Promise<void> {
    if (this.isLost || !this.holds(limit)) return Promise.resolve();
    return new Promise((done) => this.#waiters.push({ limit, done }));
  }

  /** What is not finished is about to be given back: it did not end this process. To be committed after that. */
  leaveInOrder(): void {
    for (const tracker of this.trackers.values()) if (tracker.crashes.leave()) tracker.markDirty();
  }

  /** Forgets what was not handed over: it is still at the broker. */
  drop(): void {
    this.isLost = true;
    this.#delayed.clear();
    this.#queue.clear();
    this.#bytes = 0;
    this.#keys.clear();
    this.suspects.clear();
    for (const { done } of this.#waiters.splice(0)) done();
  }

  get #isIdle(): boolean {
    return this.busy.size === 0 && this.#working === 0;
  }

  #lookIfIdle(): void {
    if (this.#isIdle) for (const done of this.#onIdle.splice(0)) done();
  }

  #append(entry: Entry): void {
    this.#bytes += entry.size;
    this.#queue.append(entry);
  }

  /** Among those that were given back. */
  #putInPlace(entry: Entry): void {
    this.#bytes += entry.size;
    this.#queue.putBack(entry);
  }

  #tellRoom(): void {
    const [first] = this.#waiters;
    // All of them wait for the same room.
    if (first === undefined || this.holds(first.limit)) return;
    for (const { done } of this.#waiters.splice(0)) done();
  }

  /** Its key waits for it, and nothing else does. */
  async #bring(entry: Entry): Promise<void> {
    this.#coming += 1;
    const records = (await this.#readAgain?.(this, entry)) ?? [];
    this.#coming -= 1;
    if (this.isLost) return;
    const [record, ...others] = records;
    if (record === undefined) {
      this.finish(entry);
    } else {
      entry.bringBack(record);
      this.#keys.bringBack(entry, others);
      this.#putInPlace(entry);
    }
    this.#onReady();
  }
}
