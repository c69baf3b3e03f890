import { MelangeError } from '../errors.ts';
import type { Work } from './work.ts';

/** Counts the deliveries that were received and not settled, gives them back to the broker, and says when none is left. */
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

  /** Gives the delivery back to the broker. If its handler runs on, the broker is not told what it comes to. */
  async giveBack(work: Work): Promise<void> {
    work.released = true;
    try {
      await work.delivery.release();
    } catch (error) {
      // Its handler had finished, and the delivery is being settled: the subscription waits for that.
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
