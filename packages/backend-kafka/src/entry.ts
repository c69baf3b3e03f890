import type { KeyLane } from './busy-keys.ts';
import { type IncomingRecord, keyOf } from './kafka-message-mapper.ts';
import type { PartitionTracker } from './partition-tracker.ts';

/** Attempts and redeliveries of a record that waits here instead of in the retry topic. */
export interface Again {
  readonly attempt: number;
  readonly redeliveries: number;
}

/** A record at hand. */
export class Entry {
  readonly record: IncomingRecord;
  readonly tracker: PartitionTracker;
  readonly key: string | undefined;
  /** Place among those at hand: smaller is earlier. */
  sequence = 0;
  /** That of its key, while it holds the key. */
  lane: KeyLane | undefined;
  /** How it comes again where no copy of it could be written. */
  again: Again | undefined;
  /** The one behind it, while it waits for its key. */
  next: Entry | undefined;

  constructor(record: IncomingRecord, tracker: PartitionTracker) {
    this.record = record;
    this.tracker = tracker;
    this.key = keyOf(record);
  }
}
