import { DeadLetterHeader, type Message } from '@melange/core';
import type { Ledger } from './ledger.ts';

/** A message in a queue. */
export interface Row {
  readonly message: Message;
  readonly attempt: number;
  redeliveries: number;
  /** From when it may be handed out, in virtual ms. */
  visibleAt: number;
  /** Differs for every time that it is handed out. */
  fence: number;
  isTaken: boolean;
}

/** The queue or topic does not exist. */
export class Missing extends Error {}

/** Queues at a broker. Every change is seen by the ledger, which knows whether it may happen. */
export class Store {
  readonly #queues = new Map<string, Row[]>();
  readonly #ledger: Ledger;
  readonly #now: () => number;
  readonly #deadLetterQueue: string;
  readonly #onPut: Set<() => void> = new Set();

  constructor(ledger: Ledger, now: () => number, deadLetterQueue: string) {
    this.#ledger = ledger;
    this.#now = now;
    this.#deadLetterQueue = deadLetterQueue;
  }

  declare(name: string): void {
    if (!this.#queues.has(name)) this.#queues.set(name, []);
  }

  rows(name: string): Row[] {
    const rows = this.#queues.get(name);
    if (rows === undefined) throw new Missing(name);
    return rows;
  }

  /** Calls back when there may be something new. The returned function ends that. */
  onPut(callback: () => void): () => void {
    this.#onPut.add(callback);
    return () => void this.#onPut.delete(callback);
  }

  put(name: string, message: Message, delayMs: number, attempt = 1, redeliveries = 0): void {
    this.rows(name).push({
      message,
      attempt,
      redeliveries,
      visibleAt: this.#now() + delayMs,
      fence: 0,
      isTaken: false,
    });
    const record = this.#ledger.of(message.id);
    record.copies += 1;
    if (name === this.#deadLetterQueue) {
      record.deadLetters += 1;
      record.deadLetterReason = message.headers[DeadLetterHeader.reason];
    }
    this.#ledger.tell(
      'broker',
      () =>
        `takes ${message.id} into ${name}${delayMs > 0 ? ` for ${delayMs} ms from now` : ''}, attempt ${attempt}`,
    );
    this.wake();
  }

  wake(): void {
    for (const callback of [...this.#onPut]) callback();
  }

  /** Rows that may be handed out now, in order. */
  ready(name: string): readonly Row[] {
    const now = this.#now();
    return this.rows(name).filter(({ visibleAt }) => visibleAt <= now);
  }

  /** A message leaves its queue for good: it must be done, or be somewhere else. */
  remove(name: string, row: Row): void {
    const rows = this.rows(name);
    const place = rows.indexOf(row);
    if (place < 0) return;
    rows.splice(place, 1);
    const record = this.#ledger.of(row.message.id);
    record.copies -= 1;
    this.#ledger.tell('broker', () => `removes ${row.message.id} from ${name}`);
    if (record.copies === 0 && record.succeeded.size === 0)
      this.#ledger.violate(
        'nothing is lost',
        `${record.id} left ${name} though no handler succeeded and no copy is left`,
      );
  }
}
