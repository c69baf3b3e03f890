import { DeadLetterHeader, type Message } from '@melange/core';
import type { Departures } from '../check/departures.ts';
import type { Ledger } from '../check/ledger.ts';
import type { SimulatedProcess } from '../time/simulated-process.ts';
import { deadLetterQueue, otherQueue, queue, topic } from './names.ts';
import { AnswerLost } from './network.ts';

/** A message at its place in a partition. */
export interface LoggedRow {
  readonly message: Message;
  readonly attempt: number;
  readonly redeliveries: number;
  /** From when it may be handed out, in virtual ms. */
  readonly dueAt: number;
  /** Whether a copy takes its place. */
  isReplaced: boolean;
}

/** Messages in order, and how far the group has come. */
export interface Partition {
  readonly rows: LoggedRow[];
  /** Offset of the first message that is not done. */
  committed: number;
}

/** Partitions of the queue that publishers write to. */
export const keyPartitions = 3;
/**
 * Partitions of what comes again later: for each of those, one for each magnitude of the delay, so that a long one holds up
 * no short one. The member that has the first has these.
 */
const magnitudes = 12;
const firstDelayMs = 64;

/** The partitions of a broker, with the offsets that were committed. Every change is seen by the ledger. */
export class PartitionLog {
  readonly partitions: readonly Partition[] = Array.from(
    { length: keyPartitions * (1 + magnitudes) },
    () => ({
      rows: [],
      committed: 0,
    }),
  );
  readonly #others = new Map<string, Message[]>([
    [deadLetterQueue, []],
    [otherQueue, []],
  ]);
  readonly #ledger: Ledger;
  readonly #departures: Departures;
  readonly #onPut: Set<() => void> = new Set();
  readonly #awayUntil = new Map<string, number>();

  constructor(ledger: Ledger, departures: Departures) {
    this.#ledger = ledger;
    this.#departures = departures;
  }

  /** How many messages are not committed. */
  get depth(): number {
    let depth = 0;
    for (const { rows, committed } of this.partitions) depth += rows.length - committed;
    return depth;
  }

  /** Messages that are not committed. */
  get left(): readonly Message[] {
    return this.partitions.flatMap(({ rows, committed }) =>
      rows.slice(committed).map(({ message }) => message),
    );
  }

  /** Ids of the messages in a queue. */
  idsIn(name: string): Set<string> {
    return new Set(this.#others.get(name)?.map(({ id }) => id));
  }

  /** From now on a queue takes nothing, for so many ms. */
  goAway(name: string, forMs: number): void {
    this.#awayUntil.set(name, this.#ledger.now + forMs);
  }

  /** Calls back when there may be something new. The returned function ends that. */
  onPut(callback: () => void): () => void {
    this.#onPut.add(callback);
    return () => void this.#onPut.delete(callback);
  }

  /** Takes a message from a publisher. */
  publish(destination: string, message: Message, lane: number): void {
    if ((this.#awayUntil.get(destination) ?? 0) > this.#ledger.now) throw new AnswerLost('the queue is away');
    this.#departures.taken(message);
    if (destination === queue || destination === topic) this.#append(lane, message, 0, 1, 0);
    if (destination !== queue) this.#addTo(destination === topic ? otherQueue : destination, message);
  }

  /** Writes the copy that takes the place of a row, to come later. */
  retry(
    { row, partition }: { readonly row: LoggedRow; readonly partition: number },
    message: Message,
    delayMs: number,
    attempt: number,
    redeliveries: number,
  ): void {
    // In a transaction: handed out again, it is known to be written.
    if (row.isReplaced) return;
    let magnitude = 1;
    while (firstDelayMs * 2 ** (magnitude - 1) < delayMs && magnitude < magnitudes) magnitude += 1;
    this.#append(
      keyPartitions * magnitude + (partition % keyPartitions),
      message,
      delayMs,
      attempt,
      redeliveries,
    );
    row.isReplaced = true;
  }

  /** Writes the copy that takes the place of a row in the dead-letter queue. */
  deadLetter(row: LoggedRow, copy: Message): void {
    if (row.isReplaced) return;
    this.#departures.deadLettered(copy);
    this.#addTo(deadLetterQueue, copy);
    row.isReplaced = true;
  }

  /** The group is done with everything before the offset. */
  commit(number: number, offset: number, by: SimulatedProcess): void {
    const partition = this.partitions[number] as Partition;
    for (; partition.committed < offset; partition.committed += 1) {
      const row = partition.rows[partition.committed] as LoggedRow;
      this.#ledger.of(row.message.id).copies -= 1;
      this.#ledger.tell(
        'broker',
        () => `${by.name} commits ${row.message.id} at ${number}/${partition.committed}`,
      );
      if (!row.isReplaced) this.#departures.leaves(row.message, by);
    }
  }

  #append(number: number, message: Message, delayMs: number, attempt: number, redeliveries: number): void {
    const { rows } = this.partitions[number] as Partition;
    const dueAt = this.#ledger.now + delayMs;
    rows.push({ message, attempt, redeliveries, dueAt, isReplaced: false });
    this.#ledger.of(message.id).copies += 1;
    this.#ledger.tell(
      'broker',
      () =>
        `takes ${message.id} at ${number}/${rows.length - 1}${delayMs > 0 ? ` for ${delayMs} ms from now` : ''}, attempt ${attempt}`,
    );
    for (const callback of [...this.#onPut]) callback();
  }

  #addTo(name: string, message: Message): void {
    this.#others.get(name)?.push(message);
    this.#ledger.of(message.id).copies += 1;
    this.#ledger.tell('broker', () => {
      const why = message.headers[DeadLetterHeader.reason];
      return `takes ${message.id} into ${name}${why === undefined ? '' : ` (${why})`}`;
    });
  }
}
