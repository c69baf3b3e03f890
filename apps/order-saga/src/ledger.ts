/** What is known of the orders of a run. */
export interface LedgerSummary {
  readonly placed: number;
  readonly paid: number;
  readonly completed: number;
  readonly deadLettered: number;
  /** Orders that ended nowhere. */
  readonly lost: number;
  /** Orders that ended twice or were never placed: completed and dead-lettered, or unknown. */
  readonly unaccounted: number;
}

/** Follows each order to its end. */
export class Ledger {
  readonly #placed = new Set<string>();
  readonly #paid = new Set<string>();
  readonly #completed = new Set<string>();
  readonly #deadLettered = new Set<string>();

  placed(orderId: string): void {
    this.#placed.add(orderId);
  }
  paid(orderId: string): void {
    this.#paid.add(orderId);
  }
  completed(orderId: string): void {
    this.#completed.add(orderId);
  }
  deadLettered(orderId: string): void {
    this.#deadLettered.add(orderId);
  }

  /** Orders that ended, one way or the other. */
  get ended(): number {
    return new Set([...this.#completed, ...this.#deadLettered]).size;
  }

  summary(): LedgerSummary {
    let lost = 0;
    let unaccounted = 0;
    for (const orderId of this.#placed) {
      const ends = Number(this.#completed.has(orderId)) + Number(this.#deadLettered.has(orderId));
      if (ends === 0) lost += 1;
      if (ends === 2) unaccounted += 1;
    }
    for (const orderId of [...this.#completed, ...this.#deadLettered]) {
      if (!this.#placed.has(orderId)) unaccounted += 1;
    }
    return {
      placed: this.#placed.size,
      paid: this.#paid.size,
      completed: this.#completed.size,
      deadLettered: this.#deadLettered.size,
      lost,
      unaccounted,
    };
  }
}
