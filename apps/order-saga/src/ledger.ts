import type { Entry, Journal } from './journal.ts';

/** What is known of the orders of a run. */
export interface LedgerSummary {
  readonly placed: number;
  readonly paid: number;
  readonly completed: number;
  readonly deadLettered: number;
  /** Orders that ended nowhere, though there was time. */
  readonly lost: number;
  /** Orders that had not ended when the run was stopped: their messages wait at the broker, or were never sent. */
  readonly notFinished: number;
  /** Orders that ended twice or were never placed: completed and dead-lettered, or unknown. */
  readonly unaccounted: number;
  /** Orders whose customer was charged more than once. */
  readonly paidTwice: number;
  /** The orders that are lost, unaccounted for or paid twice. */
  readonly wrong: readonly string[];
}

/** Follows each order to its end. */
export class Ledger {
  readonly #journal: Journal | undefined;
  readonly #placed = new Set<string>();
  readonly #sent = new Set<string>();
  readonly #charges = new Map<string, number>();
  readonly #completed = new Set<string>();
  readonly #deadLettered = new Set<string>();
  readonly #ended = new Set<string>();

  /** @param journal outlives this process; what it has already, happened. Default: none. */
  constructor(journal?: Journal) {
    this.#journal = journal;
    for (const [entry, orderId] of journal?.entries ?? []) this.#happened(entry, orderId);
  }

  placed(orderId: string): void {
    this.#write('placed', orderId);
  }
  /** Its first message is confirmed: from now on it is the brokers' to keep. */
  sent(orderId: string): void {
    this.#write('sent', orderId);
  }
  /** One charge: two for one order are one too many. */
  charged(orderId: string): void {
    this.#write('charged', orderId);
  }
  completed(orderId: string): void {
    this.#write('completed', orderId);
  }
  deadLettered(orderId: string): void {
    this.#write('deadLettered', orderId);
  }

  isSent(orderId: string): boolean {
    return this.#sent.has(orderId);
  }

  isCharged(orderId: string): boolean {
    return this.#charges.has(orderId);
  }

  #write(entry: Entry, orderId: string): void {
    this.#journal?.write(entry, orderId);
    this.#happened(entry, orderId);
  }

  #happened(entry: Entry, orderId: string): void {
    if (entry === 'placed') this.#placed.add(orderId);
    else if (entry === 'sent') this.#sent.add(orderId);
    else if (entry === 'charged') this.#charges.set(orderId, (this.#charges.get(orderId) ?? 0) + 1);
    else {
      if (entry === 'completed') this.#completed.add(orderId);
      else this.#deadLettered.add(orderId);
      this.#ended.add(orderId);
    }
  }

  /** Orders that ended, one way or the other. */
  get ended(): number {
    return this.#ended.size;
  }

  /** @param isStopped whether somebody stopped the run: then no order is lost. */
  summary(isStopped = false): LedgerSummary {
    const open = [...this.#placed].filter((orderId) => !this.#ended.has(orderId));
    const unaccounted = [...this.#ended].filter(
      (orderId) =>
        !this.#placed.has(orderId) || (this.#completed.has(orderId) && this.#deadLettered.has(orderId)),
    );
    const paidTwice = [...this.#charges].filter(([, times]) => times > 1).map(([orderId]) => orderId);
    return {
      placed: this.#placed.size,
      // Another process may have charged it: that it was completed says that it was paid.
      paid: new Set([...this.#charges.keys(), ...this.#completed]).size,
      completed: this.#completed.size,
      deadLettered: this.#deadLettered.size,
      lost: isStopped ? 0 : open.length,
      notFinished: isStopped ? open.length : 0,
      unaccounted: unaccounted.length,
      paidTwice: paidTwice.length,
      wrong: [...new Set([...(isStopped ? [] : open), ...unaccounted, ...paidTwice])],
    };
  }
}
