import { setMaxListeners } from 'node:events';
import { DeliveryAbortedError } from '@melange/core';

/** The part of Lambda's context that is looked at. */
export interface InvocationContext {
  /** Time until Lambda ends the invocation, in ms. */
  getRemainingTimeInMillis(): number;
}

/** The time that an invocation has, of which the last part is kept for settling and for the response. */
export class TimeLimit {
  /** Aborted when handlers are to end. */
  readonly signal: AbortSignal;
  /** How long handlers may go on after that, in ms. */
  readonly graceMs: number;
  readonly #end: number;
  readonly #timer: NodeJS.Timeout;

  /** @param reserveMs of a short invocation at most half is kept. */
  constructor(context: InvocationContext, reserveMs: number) {
    const remainingMs = Math.max(0, context.getRemainingTimeInMillis());
    const reservedMs = Math.min(reserveMs, remainingMs / 2);
    const controller = new AbortController();
    this.signal = controller.signal;
    // Every handler of the event listens.
    setMaxListeners(0, this.signal);
    this.graceMs = Math.floor(reservedMs / 2);
    this.#end = performance.now() + remainingMs - reservedMs;
    const text = `The invocation ends in ${Math.round(reservedMs)} ms.`;
    const abort = (): void => controller.abort(new DeliveryAbortedError('timeout', text));
    this.#timer = setTimeout(abort, remainingMs - reservedMs);
  }

  /** Whether something can wait so long, in ms, and there is time after that. */
  hasTimeFor(delayMs: number): boolean {
    return performance.now() + delayMs < this.#end;
  }

  /** Waits for the work, though no longer than three quarters of the time that was kept. */
  async within(work: Promise<unknown>): Promise<void> {
    const leftMs = Math.max(0, this.#end - performance.now()) + this.graceMs * 1.5;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, leftMs);
    });
    await Promise.race([work, late]);
    clearTimeout(timer);
  }

  /** Leaves no timer. */
  clear(): void {
    clearTimeout(this.#timer);
  }
}
