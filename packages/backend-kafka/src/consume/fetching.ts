import { reconnectDelayMs } from '@melange/backend-kit';
import type { FetchedPartition, GroupSession } from '../client/index.ts';
import type { Assignment } from './assignment.ts';
import type { PartitionTracker } from './partition-tracker.ts';

/** What fetching works with. */
export interface FetchingContext {
  readonly session: Pick<GroupSession, 'fetch'>;
  readonly leadersOf: (topic: string) => Promise<readonly number[] | undefined>;
  /** Records at hand, beyond which nothing more is asked for, in bytes. */
  readonly maxBytesAtHand: number;
  /** Takes in an answer that has something for the partition. */
  readonly take: (tracker: PartitionTracker, fetched: FetchedPartition) => Promise<void>;
  /** Where to go on when a broker does not have the offset that was asked for. */
  readonly outOfRange: (tracker: PartitionTracker) => Promise<number>;
  /** A broker answered. */
  readonly onAnswer: () => void;
  /** It is tried again. */
  readonly onFailed: (error: unknown) => void;
  /** A topic is gone, or another partition will never be read by fetching again. */
  readonly onBroken: (error: unknown) => void;
}

/** How long a broker waits for records, and with it how soon a resumed partition is read. */
const maxWaitMs = 200;
const maxBytesOfAnswer = 10_485_760;
const maxBytesOfPartition = 1_048_576;
const maxReady = 2_000;
/** After these the leader is looked for again. */
const moved = /LEADER|NOT_AVAILABLE|STORAGE|UNKNOWN_SERVER/;

/**
 * Fetches the partitions of an assignment, from each broker by itself: while one answer is taken in and worked on, the next one is under
 * way. Ends with the assignment.
 */
export class Fetching {
  readonly #assignment: Assignment;
  readonly #context: FetchingContext;
  /** The next offset to ask for. */
  readonly #next = new Map<PartitionTracker, number>();
  readonly #leaders = new Map<PartitionTracker, number>();
  /** Brokers that are being asked. */
  readonly #nodes = new Set<number>();
  #wakes: (() => void)[] = [];

  constructor(assignment: Assignment, context: FetchingContext) {
    this.#assignment = assignment;
    this.#context = context;
    for (const tracker of assignment.trackers.values()) this.#next.set(tracker, tracker.position);
  }

  start(): void {
    void this.#findLeaders();
  }

  /** A partition is fetched again, or the assignment is lost. */
  wake(): void {
    for (const wake of this.#wakes.splice(0)) wake();
  }

  /** Tries until it knows them. */
  async #findLeaders(): Promise<void> {
    const trackers = [...this.#assignment.trackers.values()];
    for (let failures = 0; !this.#assignment.isLost; ) {
      try {
        for (const topic of new Set(trackers.map((tracker) => tracker.topic))) {
          const leaders = await this.#context.leadersOf(topic);
          if (leaders === undefined)
            return this.#context.onBroken(new Error(`There is no topic "${topic}" any more.`));
          for (const tracker of trackers)
            if (tracker.topic === topic) this.#leaders.set(tracker, leaders[tracker.partition] ?? -1);
        }
        const nodes = new Set(this.#leaders.values());
        for (const node of nodes) if (node >= 0 && !this.#nodes.has(node)) void this.#ask(node);
        if (!nodes.has(-1)) return;
        throw new Error('A partition has no leader.');
      } catch (error) {
        failures += 1;
        this.#context.onFailed(error);
        await pause(reconnectDelayMs(failures));
      }
    }
  }

  async #ask(node: number): Promise<void> {
    this.#nodes.add(node);
    let taking: Promise<void> = Promise.resolve();
    let takingBytes = 0;
    for (let failures = 0; !this.#assignment.isLost; ) {
      if (this.#assignment.bufferedBytes + takingBytes >= this.#context.maxBytesAtHand) await taking;
      await this.#room();
      const trackers = this.#ofNode(node);
      if (trackers.length === 0) break;
      const wanted = trackers.filter(({ isPaused }) => !isPaused);
      if (wanted.length === 0) await new Promise<void>((resolve) => this.#wakes.push(resolve));
      if (wanted.length === 0 || this.#assignment.isLost) continue;
      try {
        const answer = await this.#fetch(node, wanted, takingBytes);
        if (this.#assignment.isLost) break;
        this.#context.onAnswer();
        failures = 0;
        const asked = this.#advance(answer);
        // While this answer is taken in the next one is under way, and no third.
        await taking;
        takingBytes = bytesOf(asked);
        taking = this.#takeIn(asked).then(() => {
          takingBytes = 0;
        });
      } catch (error) {
        if (this.#assignment.isLost) break;
        failures += 1;
        this.#context.onFailed(error);
        await pause(reconnectDelayMs(failures));
        await this.#findLeaders();
      }
    }
    this.#nodes.delete(node);
  }

  #ofNode(node: number): PartitionTracker[] {
    return [...this.#leaders].filter(([, leader]) => leader === node).map(([tracker]) => tracker);
  }

  #fetch(
    node: number,
    trackers: readonly PartitionTracker[],
    takingBytes: number,
  ): Promise<readonly FetchedPartition[]> {
    const left = this.#context.maxBytesAtHand - this.#assignment.bufferedBytes - takingBytes;
    const maxBytes = Math.max(1, Math.min(maxBytesOfAnswer, Math.floor(left / this.#nodes.size)));
    // Those that come first fill the answer: each has its turn.
    const first = trackers[0] as PartitionTracker;
    const leader = this.#leaders.get(first) as number;
    this.#leaders.delete(first);
    this.#leaders.set(first, leader);
    return this.#context.session.fetch({
      ...{ node, maxWaitMs, maxBytes },
      partitions: trackers.map((tracker) => ({
        topic: tracker.topic,
        partition: tracker.partition,
        offset: this.#next.get(tracker) as number,
        maxBytes: Math.min(maxBytesOfPartition, maxBytes),
      })),
    });
  }

  /** The next fetch begins behind this one. */
  #advance(answer: readonly FetchedPartition[]): readonly [PartitionTracker, FetchedPartition][] {
    const asked: [PartitionTracker, FetchedPartition][] = [];
    for (const fetched of answer) {
      const tracker = this.#assignment.tracker(fetched.topic, fetched.partition);
      if (tracker === undefined) continue;
      if (fetched.error === undefined && fetched.lastOffset === undefined) {
        tracker.highWatermark = Math.max(tracker.highWatermark, fetched.highWatermark);
        continue;
      }
      if (fetched.lastOffset !== undefined && fetched.error === undefined)
        this.#next.set(tracker, fetched.lastOffset + 1);
      asked.push([tracker, fetched]);
    }
    return asked;
  }

  async #takeIn(answer: readonly [PartitionTracker, FetchedPartition][]): Promise<void> {
    let isMoved = false;
    for (const [tracker, fetched] of answer) {
      // Partition by partition: the younger the records, the cheaper is their memory.
      await this.#room();
      if (this.#assignment.isLost) return;
      const { error } = fetched;
      if (error === undefined) await this.#context.take(tracker, fetched);
      else if (error === 'OFFSET_OUT_OF_RANGE') await this.#goOn(tracker);
      else if (moved.test(error)) isMoved = true;
      else this.#context.onBroken(Object.assign(new Error(error), { type: error }));
    }
    if (!isMoved) return;
    await pause(reconnectDelayMs(1));
    await this.#findLeaders();
  }

  async #goOn(tracker: PartitionTracker): Promise<void> {
    try {
      this.#next.set(tracker, await this.#context.outOfRange(tracker));
    } catch (error) {
      // The next answer says it again.
      this.#context.onFailed(error);
      await pause(reconnectDelayMs(1));
    }
  }

  #room(): Promise<void> {
    return this.#assignment.room({ records: maxReady, bytes: this.#context.maxBytesAtHand });
  }
}

function bytesOf(answer: readonly [PartitionTracker, FetchedPartition][]): number {
  let bytes = 0;
  for (const [, { records }] of answer) for (const { size } of records) bytes += size;
  return bytes;
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
