import type { Clock } from '@melange/core';

interface Timer {
  readonly at: number;
  readonly callback: () => void;
}

/** Time that passes only when it is told to. It begins at the machine's time. */
export class VirtualClock implements Clock {
  readonly #epoch = Date.now();
  #now = 0;
  readonly #timers = new Set<Timer>();

  now(): number {
    return this.#epoch + this.#now;
  }

  monotonicNow(): number {
    return this.#now;
  }

  schedule(callback: () => void, delayMs: number): () => void {
    const timer = { at: this.#now + delayMs, callback };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }

  /** Moves to the earliest timer up to `until`, and calls it; false when there is none. */
  fireNext(until: number): boolean {
    let next: Timer | undefined;
    for (const timer of this.#timers)
      if (timer.at <= until && (next === undefined || timer.at < next.at)) next = timer;
    if (next === undefined) return false;
    this.#timers.delete(next);
    this.#now = Math.max(this.#now, next.at);
    next.callback();
    return true;
  }

  moveTo(time: number): void {
    this.#now = Math.max(this.#now, time);
  }
}
