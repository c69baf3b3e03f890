/** When to try again, and when to stop. Pure: randomness comes in. */
export interface RetryPolicy {
  /** Attempts in all, the first included; the message is dead-lettered after the last one failed. */
  readonly maxAttempts: number;
  /** Longest delay in ms: the pace of retries when there is no dead-letter queue to end them. */
  readonly longestDelayMs: number;
  /**
   * Delay in ms before the next attempt.
   *
   * @param attempt the one that failed, from 1.
   * @param random from 0 (inclusive) to 1 (exclusive).
   */
  delayMs(attempt: number, random: number): number;
}

/** Settings of `exponentialBackoff`. */
export interface ExponentialBackoffOptions {
  /** Attempts in all, the first included. Default: 10. */
  readonly maxAttempts?: number;
  /** Delay before the second attempt, in ms. Default: 1,000. */
  readonly firstDelayMs?: number;
  /** How many times longer each delay is than the one before it. Default: 2. */
  readonly factor?: number;
  /** Bound of the delays, in ms. Default: 60,000. */
  readonly longestDelayMs?: number;
  /** Share of the delay that is random, 0 to 1, so that failures that came together do not return together. Default: 0.1. */
  readonly jitter?: number;
}

/** Each delay is `factor` times the one before it, up to the longest. */
export function exponentialBackoff(options: ExponentialBackoffOptions = {}): RetryPolicy {
  const {
    maxAttempts = 10,
    firstDelayMs = 1_000,
    factor = 2,
    longestDelayMs = 60_000,
    jitter = 0.1,
  } = options;
  return {
    maxAttempts,
    longestDelayMs,
    delayMs(attempt, random) {
      const delay = Math.min(firstDelayMs * factor ** (attempt - 1), longestDelayMs);
      return Math.round(delay * (1 - jitter * random));
    },
  };
}

/** The delays as listed, one before each further attempt: `fixedDelays([100, 1000])` makes three attempts. */
export function fixedDelays(delaysMs: readonly number[]): RetryPolicy {
  return {
    maxAttempts: delaysMs.length + 1,
    longestDelayMs: Math.max(0, ...delaysMs),
    delayMs: (attempt) => delaysMs[Math.min(attempt, delaysMs.length) - 1] ?? 0,
  };
}
