import { isTransient, reasonOf } from '../errors.ts';

/** Whether the last request to one service was answered; a refusal is an answer, too. */
export class ConnectionHealth {
  /** Since when none is, in ms of `performance.now()`; `undefined` while they are. */
  #lostSince: number | undefined;
  #reason = '';
  #probe: Promise<void> | undefined;

  /** Why no request is answered, and for how many ms. */
  get lost(): { readonly reason: string; readonly forMs: number } | undefined {
    if (this.#lostSince === undefined) return undefined;
    return { reason: this.#reason, forMs: performance.now() - this.#lostSince };
  }

  /** Asks anything, if the last request was not answered: where nothing else is asked nothing would tell that it works again. */
  askAgain(anything: () => Promise<unknown>): void {
    if (this.#lostSince === undefined) return;
    this.#probe ??= anything()
      .then(
        () => undefined,
        () => undefined,
      )
      .finally(() => {
        this.#probe = undefined;
      });
  }

  async watch<Output>(request: Promise<Output>): Promise<Output> {
    try {
      const output = await request;
      this.#lostSince = undefined;
      return output;
    } catch (error) {
      if (isTransient(error)) {
        this.#lostSince ??= performance.now();
        this.#reason = reasonOf(error);
      } else {
        this.#lostSince = undefined;
      }
      throw error;
    }
  }
}
