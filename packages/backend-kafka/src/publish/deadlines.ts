/** Something that waits, but not for ever. */
export interface Waiting {
  /** Time of `performance.now()` at which it is over. */
  readonly endsAt: number;
  /** Called once, soon after that time, unless it was deleted before. */
  expire(): void;
}

/** Longest delay that a timer keeps. */
const maxTimerMs = 2_147_483_647;
/** From one look at all of them to the next: however many end at different times, they cost a look together. */
const minPauseMs = 20;

/** Deadlines of any number of things that wait, kept by one timer. It keeps the process running while something waits. */
export class Deadlines {
  readonly #waiting = new Set<Waiting>();
  #timer: NodeJS.Timeout | undefined;
  #timerEndsAt = Number.POSITIVE_INFINITY;

  add(waiting: Waiting): void {
    this.#waiting.add(waiting);
    if (waiting.endsAt < this.#timerEndsAt) this.#setTimer(waiting.endsAt, performance.now());
    if (this.#waiting.size === 1) this.#timer?.ref();
  }

  delete(waiting: Waiting): void {
    if (this.#waiting.delete(waiting) && this.#waiting.size === 0) this.#timer?.unref();
  }

  #setTimer(endsAt: number, now: number): void {
    clearTimeout(this.#timer);
    this.#timerEndsAt = endsAt;
    this.#timer = setTimeout(() => this.#look(), Math.min(Math.max(0, endsAt - now), maxTimerMs));
  }

  #look(): void {
    this.#timer = undefined;
    this.#timerEndsAt = Number.POSITIVE_INFINITY;
    const now = performance.now();
    const expired: Waiting[] = [];
    let nextEndsAt = Number.POSITIVE_INFINITY;
    for (const waiting of this.#waiting) {
      if (waiting.endsAt <= now) expired.push(waiting);
      else nextEndsAt = Math.min(nextEndsAt, waiting.endsAt);
    }
    for (const waiting of expired) this.#waiting.delete(waiting);
    if (this.#waiting.size > 0) this.#setTimer(Math.max(nextEndsAt, now + minPauseMs), now);
    for (const waiting of expired) waiting.expire();
  }
}
