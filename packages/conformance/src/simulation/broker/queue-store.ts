import { DeadLetterHeader, type Message } from '@melange/core';
import type { Departures } from '../check/departures.ts';
import type { Ledger } from '../check/ledger.ts';
import type { SimulatedProcess } from '../time/simulated-process.ts';
import { deadLetterQueue, otherQueue, queue, topic } from './names.ts';
import { AnswerLost } from './network.ts';

/** A message in a queue. */
export interface Row {
  readonly message: Message;
  readonly attempt: number;
  redeliveries: number;
  /** From when it may be handed out, in virtual ms. */
  visibleAt: number;
  /** Differs for every time that it is handed out, in all queues. */
  fence: number;
  isTaken: boolean;
  /** The copy that takes its place, here or in the dead-letter queue. */
  successor: Row | undefined;
}

/** The queue or topic does not exist. */
export class Missing extends Error {}

/** Queues at a broker. Every change is seen by the ledger, which knows whether it may happen. */
export class QueueStore {
  readonly #queues = new Map<string, Row[]>();
  readonly #ledger: Ledger;
  readonly #departures: Departures;
  readonly #onPut: Set<() => void> = new Set();
  readonly #awayUntil = new Map<string, number>();
  #fences = 0;

  constructor(ledger: Ledger, departures: Departures) {
    this.#ledger = ledger;
    this.#departures = departures;
    for (const name of [queue, deadLetterQueue, otherQueue]) this.#queues.set(name, []);
  }

  /** How many messages of the service have not left its queue. */
  get depth(): number {
    return this.rows(queue).length;
  }

  /** Messages of the queue of the service that have not left it. */
  get left(): readonly Message[] {
    return this.rows(queue).map(({ message }) => message);
  }

  /** Ids of the messages in a queue. */
  idsIn(name: string): Set<string> {
    return new Set(this.rows(name).map(({ message }) => message.id));
  }

  rows(name: string): Row[] {
    const rows = this.#queues.get(name);
    if (rows === undefined) throw new Missing(name);
    return rows;
  }

  /** From now on it takes nothing, for so many ms. */
  goAway(name: string, forMs: number): void {
    this.#awayUntil.set(name, this.#ledger.now + forMs);
  }

  /** Calls back when there may be something new. The returned function ends that. */
  onPut(callback: () => void): () => void {
    this.#onPut.add(callback);
    return () => void this.#onPut.delete(callback);
  }

  wake(): void {
    for (const callback of [...this.#onPut]) callback();
  }

  /** Takes a message from a publisher, into every queue that it goes to. */
  publish(destination: string, message: Message, delayMs: number): void {
    if ((this.#awayUntil.get(destination) ?? 0) > this.#ledger.now) throw new AnswerLost('the queue is away');
    this.#departures.taken(message);
    for (const name of destination === topic ? [queue, otherQueue] : [destination])
      this.#add(name, message, delayMs, 1, 0);
    this.wake();
  }

  /** Writes the copy that takes the place of a row. */
  replace(
    row: Row,
    name: string,
    message: Message,
    delayMs: number,
    attempt: number,
    redeliveries: number,
  ): void {
    if (name === deadLetterQueue) this.#departures.deadLettered(message);
    row.successor = this.#add(name, message, delayMs, attempt, redeliveries);
    this.wake();
  }

  /** Hands a row out. */
  take(row: Row, to: SimulatedProcess): number {
    this.#ledger.tell('broker', () => `hands ${row.message.id} to ${to.name}`);
    this.#fences += 1;
    row.isTaken = true;
    row.fence = this.#fences;
    return row.fence;
  }

  /** A row leaves its queue for good: its message must be done, or a copy must have taken its place. */
  remove(name: string, row: Row, by: SimulatedProcess): void {
    const rows = this.rows(name);
    const place = rows.indexOf(row);
    if (place < 0) return;
    rows.splice(place, 1);
    this.#ledger.of(row.message.id).copies -= 1;
    this.#ledger.tell('broker', () => `removes ${row.message.id} from ${name}`);
    if (row.successor === undefined) this.#departures.leaves(row.message, by);
  }

  /** What the broker has at this moment, for `restore`. */
  snapshot(): ReadonlyMap<string, readonly Row[]> {
    const copied = new Map<string, readonly Row[]>();
    for (const [name, rows] of this.#queues)
      copied.set(
        name,
        rows.map((row) => ({ ...row })),
      );
    return copied;
  }

  /** Goes on from an earlier moment: what was done since is forgotten. */
  restore(snapshot: ReadonlyMap<string, readonly Row[]>, since: number): void {
    for (const rows of this.#queues.values())
      for (const { message } of rows) this.#ledger.of(message.id).copies -= 1;
    for (const [name, rows] of snapshot) {
      this.#queues.set(
        name,
        rows.map((row) => ({ ...row })),
      );
      for (const { message } of rows) this.#ledger.of(message.id).copies += 1;
    }
    for (const record of this.#ledger.messages.values())
      if (record.lastTakenAt >= since) record.mayBeForgotten = true;
    this.wake();
  }

  #add(name: string, message: Message, delayMs: number, attempt: number, redeliveries: number): Row {
    const visibleAt = this.#ledger.now + delayMs;
    const row: Row = {
      message,
      attempt,
      redeliveries,
      visibleAt,
      fence: 0,
      isTaken: false,
      successor: undefined,
    };
    this.rows(name).push(row);
    this.#ledger.of(message.id).copies += 1;
    this.#ledger.tell('broker', () => {
      const delay = delayMs > 0 ? ` for ${delayMs} ms from now` : '';
      const why = message.headers[DeadLetterHeader.reason];
      return `takes ${message.id} into ${name}${delay}, attempt ${attempt}${why === undefined ? '' : ` (${why})`}`;
    });
    return row;
  }
}
