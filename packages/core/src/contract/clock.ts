/** Time as Melange sees it: real by default, simulated where a test or a simulation gives another. */
export interface Clock {
  /** Milliseconds since the epoch, which step when the machine's time is set: only for what is written or shown. */
  now(): number;
  /**
   * Milliseconds since some moment of this process, which never step, not even when the machine's time is set: for
   * every lease, deadline, backoff and age. Times of two clocks, or of two processes, cannot be compared.
   */
  monotonicNow(): number;
  /** Calls back once after `delayMs`. The returned function cancels. */
  schedule(callback: () => void, delayMs: number): () => void;
}

/** Longest delay that Node's timers keep; a longer one fires at once. */
const longestTimerMs = 2_147_483_647;

/** The machine's own time. */
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
