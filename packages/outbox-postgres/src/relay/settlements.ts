import type { RowId, Settlements } from './exchange.ts';

/** Outcomes that wait to be told to the database. */
export class PendingSettlements {
  #published: RowId[] = [];
  #failed: Settlements['failed'][number][] = [];
  #refused: Settlements['refused'][number][] = [];
  #returned: RowId[] = [];

  get isEmpty(): boolean {
    return this.count === 0;
  }

  get count(): number {
    return this.#published.length + this.#failed.length + this.#refused.length + this.#returned.length;
  }

  published(id: RowId): void {
    this.#published.push(id);
  }

  failed(failure: Settlements['failed'][number]): void {
    this.#failed.push(failure);
  }

  refused(refusal: Settlements['refused'][number]): void {
    this.#refused.push(refusal);
  }

  returned(id: RowId): void {
    this.#returned.push(id);
  }

  /** All there are, which are not here any more. */
  take(): Settlements {
    const taken = {
      published: this.#published,
      failed: this.#failed,
      refused: this.#refused,
      returned: this.#returned,
    };
    this.#published = [];
    this.#failed = [];
    this.#refused = [];
    this.#returned = [];
    return taken;
  }

  /** They could not be told, or it is not known: again. */
  putBack({ published, failed, refused, returned }: Settlements): void {
    this.#published = [...published, ...this.#published];
    this.#failed = [...failed, ...this.#failed];
    this.#refused = [...refused, ...this.#refused];
    this.#returned = [...returned, ...this.#returned];
  }
}
