import { MelangeError } from '../errors.ts';
import type { Work } from './work.ts';

/** Counts the deliveries that were received and not settled, gives them back, and tells when none is left. */
export class InHand {
  readonly #report: (error: unknown, work: Work) => void;
  #onNone: (() => void) | undefined;
  count = 0;

  constructor(report: (error: unknown, work: Work) => void) {
    this.#report = report;
  }

  /** A delivery was received. */
  add(): void {
    this.count += 1;
  }

  /** A delivery was settled, given back, or lost. */
  remove(): void {
    this.count -= 1;
    if (this.count === 0) this.#onNone?.();
  }

  /** Gives the delivery back to the broker; from now on nothing that its handler does counts there. */
  async giveBack(work: Work): Promise<void> {
    work.released = true;
    try {
      await work.delivery.release();
    } catch (error) {
      // Its handler had finished and its settlement is under way: that one counts, and the subscription waits for it.
      if (!MelangeError.is(error, 'DELIVERY_SETTLED')) this.#report(error, work);
    }
    this.remove();
  }

  /** Resolves when no delivery is in hand. */
  none(): Promise<void> {
    if (this.count === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const earlier = this.#onNone;
      this.#onNone = () => {
        earlier?.();
        resolve();
      };
    });
  }
}
