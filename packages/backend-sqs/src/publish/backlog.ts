import { MelangeError } from '@melange/core';

/** Publishes to one destination that may be under way at the same time, in messages. */
export const maxUnderWay = 20_000;

/** How often those that wait are looked at for being too late, in ms. */
const lookEveryMs = 1_000;

interface Waiting {
  readonly count: number;
  /** Since when it waits, and until when it may, in ms of `performance.now()`. */
  readonly since: number;
  readonly until: number | undefined;
  readonly start: () => void;
  readonly fail: (error: unknown) => void;
}

/**
 * Lets a bounded number of messages be on their way to a destination; the others wait for their turn, in order, not yet
 * encoded. Whoever named no deadline waits for as long as the destination takes messages.
 */
export class Backlog {
  readonly #timeoutMs: number;
  #underWay = 0;
  #waiting: Waiting[] = [];
  /** Those of `#waiting` before it have been let in. */
  #head = 0;
  #progressAt = 0;
  #watching: NodeJS.Timeout | undefined;

  /** @param timeoutMs longest wait of those that named no deadline while the destination takes nothing. */
  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
  }

  /**
   * Answers `undefined` when the messages may go at once, else what resolves when they may.
   *
   * @param until latest time to wait, in ms of `performance.now()`.
   */
  enter(count: number, until: number | undefined): Promise<void> | undefined {
    if (this.#head === this.#waiting.length && this.#hasRoomFor(count)) {
      this.#underWay += count;
      return undefined;
    }
    this.#watching ??= setInterval(() => this.#look(), lookEveryMs);
    return new Promise((start, fail) => {
      this.#waiting.push({ count, since: performance.now(), until, start, fail });
    });
  }

  /** So many are not under way any more; some of them were taken, or none. */
  leave(count: number, wereTaken: boolean): void {
    this.#underWay -= count;
    if (wereTaken) this.#progressAt = performance.now();
    while (this.#head < this.#waiting.length) {
      const next = this.#waiting[this.#head] as Waiting;
      if (!this.#hasRoomFor(next.count)) return;
      this.#head += 1;
      this.#underWay += next.count;
      next.start();
      if (this.#head >= 1_024 && this.#head * 2 > this.#waiting.length) this.#dropStarted();
    }
    this.#dropStarted();
    clearInterval(this.#watching);
    this.#watching = undefined;
  }

  /** More than there is ever room for goes alone. */
  #hasRoomFor(count: number): boolean {
    return this.#underWay === 0 || this.#underWay + count <= maxUnderWay;
  }

  #dropStarted(): void {
    this.#waiting = this.#waiting.slice(this.#head);
    this.#head = 0;
  }

  #look(): void {
    const now = performance.now();
    const isLate = ({ since, until }: Waiting): boolean =>
      until === undefined ? now - Math.max(since, this.#progressAt) >= this.#timeoutMs : until <= now;
    this.#dropStarted();
    const late = this.#waiting.filter(isLate);
    if (late.length === 0) return;
    this.#waiting = this.#waiting.filter((one) => !isLate(one));
    const text = `${this.#underWay} messages are under way to the destination, which took none of them in time.`;
    for (const { fail } of late) fail(new MelangeError('PUBLISH_TIMEOUT', text));
  }
}
