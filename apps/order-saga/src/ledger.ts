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
  readonly #placed = new Set<string>();
  readonly #charges = new Map<string, number>();
  readonly #completed = new Set<string>();
  readonly #deadLettered = new Set<string>();
  readonly #ended = new Set<string>();

  placed(orderId: string): void {
    this.#placed.add(orderId);
  }
  /** One charge: two for one order are one too many. */
  charged(orderId: string): void {
    this.#charges.set(orderId, (this.#charges.get(orderId) ?? 0) + 1);
  }
  completed(orderId: string): void {
    this.#completed.add(orderId);
    this.#ended.add(orderId);
  }
  deadLettered(orderId: string): void {
    this.#deadLettered.add(orderId);
    this.#ended.add(orderId);
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
