/** Source of time and timers: the machine's by default, a simulated one in tests. */
export interface Clock {
  /** Milliseconds since the epoch. Steps when the machine's time is set, so only for times that are sent or shown. */
  now(): number;
  /**
   * Milliseconds since some moment of this process. Never steps, not even when the machine's time is set: for every lease,
   * deadline, backoff and age. Times of two clocks, or of two processes, cannot be compared.
   */
  monotonicNow(): number;
  /** Calls back once after `delayMs`. The returned function cancels. */
  schedule(callback: () => void, delayMs: number): () => void;
}

/** Longest delay of a Node timer, in ms; a longer one would fire at once. */
const longestTimerMs = 2_147_483_647;

/** The machine's time. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonicNow: () => performance.now(),
  schedule(callback, delayMs) {
    let timer: NodeJS.Timeout;
    const start = (leftMs: number): void => {
      const partMs = Math.min(leftMs, longestTimerMs);
      timer = setTimeout(() => (leftMs > partMs ? start(leftMs - partMs) : callback()), partMs);
    };
    start(delayMs);
    return () => clearTimeout(timer);
  },
};
