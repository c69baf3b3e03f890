import { type IncomingRecord, keyOf, notBeforeOf } from '../wire/message.ts';
import type { PartitionTracker } from './partition-tracker.ts';

/** Attempts and redeliveries of a record that waits here instead of in the retry topic. */
export interface Again {
  readonly attempt: number;
  readonly redeliveries: number;
}

/** A key in flight: entries of it that came later wait here, in their order, and must not pass. */
export interface KeyLane {
  /** Time of `performance.now()` at which the entry that holds the key got it. */
  heldSince: number;
  first: Entry | undefined;
  last: Entry | undefined;
}

/** A record at hand; or its place alone, where it waits for long and there are many. */
export class Entry {
  readonly tracker: PartitionTracker;
  readonly offset: number;
  /** Of the record, in bytes. */
  readonly size: number;
  readonly key: string | undefined;
  /** Time from which it is due, in ms since the epoch; 0 for at once. */
  readonly notBefore: number;
  /** Place among those at hand: smaller is earlier. */
  sequence = 0;
  /** That of its key, while it holds the key. */
  lane: KeyLane | undefined;
  /** How it comes again where no copy of it could be written. */
  again: Again | undefined;
  /** The one behind it, while it waits for its key. */
  next: Entry | undefined;
  #record: IncomingRecord | undefined;

  constructor(record: IncomingRecord, tracker: PartitionTracker) {
    this.#record = record;
    this.tracker = tracker;
    this.offset = record.offset;
    this.size = record.size;
    this.key = keyOf(record);
    this.notBefore = notBeforeOf(record);
  }

  /** To be asked for only while it `isHere`. */
  get record(): IncomingRecord {
    if (this.#record === undefined) throw new Error(`The record at offset ${this.offset} was let go.`);
    return this.#record;
  }

  get isHere(): boolean {
    return this.#record !== undefined;
  }

  /** Keeps its own bytes only, not those that were fetched with them. */
  detach(): void {
    this.#record?.detach?.();
  }

  /** Keeps its place only. */
  letGo(): void {
    this.#record = undefined;
  }

  /** The record was read again. */
  bringBack(record: IncomingRecord): void {
    record.detach?.();
    this.#record = record;
  }
}
