import { checkDelayMs, checkWholeNumber } from '../contract/check-number.ts';
import { MelangeError } from '../errors.ts';

/** When a failed message is tried again, and how often. Pure: randomness is a parameter. */
export interface RetryPolicy {
  /** Attempts in all, the first included, or Infinity; the message is dead-lettered after the last one failed. */
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
  /** Attempts in all, the first included; Infinity for no end of them. Default: 10. */
  readonly maxAttempts?: number;
  /** Delay before the second attempt, in ms. Default: 1,000. */
  readonly firstDelayMs?: number;
  /** How many times longer each delay is than the one before it, 1 or more. Default: 2. */
  readonly factor?: number;
  /** Bound of the delays, in ms. Default: 60,000. */
  readonly longestDelayMs?: number;
  /** Share of the delay that is random, 0 to 1, so that failures that came together do not return together. Default: 0.1. */
  readonly jitter?: number;
}

/**
 * Each delay is `factor` times the one before it, up to the longest.
 *
 * @throws MelangeError `CONFIGURATION` for a delay that is negative or not finite, fewer attempts than 1, a factor
 * below 1 and a jitter that is not a share.
 */
export function exponentialBackoff(options: ExponentialBackoffOptions = {}): RetryPolicy {
  const {
    maxAttempts = 10,
    firstDelayMs = 1_000,
    factor = 2,
    longestDelayMs = 60_000,
    jitter = 0.1,
  } = options;
  checkAttempts(maxAttempts);
  checkDelayMs('firstDelayMs', firstDelayMs);
  checkDelayMs('longestDelayMs', longestDelayMs);
  checkWithin('factor', factor, 1, Number.MAX_VALUE);
  checkWithin('jitter', jitter, 0, 1);
  return {
    maxAttempts,
    longestDelayMs,
    delayMs(attempt, random) {
      // Bounded: the power may be Infinity, and 0 * Infinity is NaN.
      const growth = Math.min(factor ** (attempt - 1), Number.MAX_VALUE);
      const delay = Math.min(firstDelayMs * growth, longestDelayMs);
      return Math.round(delay * (1 - jitter * random));
    },
  };
}

/**
 * The delays as listed, in ms, one before each further attempt: `fixedDelays([100, 1000])` makes three attempts.
 *
 * @throws MelangeError `CONFIGURATION` for a delay that is negative or not finite.
 */
export function fixedDelays(delaysMs: readonly number[]): RetryPolicy {
  const delays = delaysMs.map((delayMs, index) => checkDelayMs(`delaysMs[${index}]`, delayMs));
  return {
    maxAttempts: delays.length + 1,
    longestDelayMs: delays.reduce((longest, delayMs) => Math.max(longest, delayMs), 0),
    delayMs: (attempt) => delays[Math.min(attempt, delays.length) - 1] ?? 0,
  };
}

/** @throws MelangeError `CONFIGURATION` for a `RetryPolicy` of the application with invalid numbers. */
export function checkRetryPolicy(policy: RetryPolicy): RetryPolicy {
  checkAttempts(policy.maxAttempts);
  checkDelayMs('longestDelayMs of the retry policy', policy.longestDelayMs);
  return policy;
}

function checkAttempts(maxAttempts: number): void {
  if (maxAttempts !== Number.POSITIVE_INFINITY) checkWholeNumber('maxAttempts', maxAttempts, 1);
}

function checkWithin(name: string, value: number, min: number, max: number): void {
  if (value >= min && value <= max) return;
  const bounds = max === Number.MAX_VALUE ? `a finite number of at least ${min}` : `from ${min} to ${max}`;
  throw new MelangeError('CONFIGURATION', `${name} must be ${bounds}, not ${value}.`);
}
