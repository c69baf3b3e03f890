import { exponentialBackoff, fixedDelays } from '@melange/core';
import { describe, expect, test } from 'vitest';

describe('exponentialBackoff', () => {
  test('doubles up to the longest delay', () => {
    const policy = exponentialBackoff({ firstDelayMs: 100, longestDelayMs: 1_000 });
    expect([1, 2, 3, 4, 5, 500].map((attempt) => policy.delayMs(attempt, 0))).toEqual([
      100, 200, 400, 800, 1_000, 1_000,
    ]);
  });
  test('jitter shortens by its share at most', () => {
    const policy = exponentialBackoff({ firstDelayMs: 1_000, jitter: 0.25 });
    expect(policy.delayMs(1, 0)).toBe(1_000);
    expect(policy.delayMs(1, 0.9999)).toBeGreaterThanOrEqual(750);
  });
  test('jitter never lengthens a delay, the longest least of all', () => {
    const policy = exponentialBackoff({ firstDelayMs: 1_000, longestDelayMs: 4_000, jitter: 1 });
    for (const random of [0, 0.1, 0.5, 0.9, 0.999_999]) {
      expect(policy.delayMs(1, random)).toBe(Math.round(1_000 * (1 - random)));
      expect(policy.delayMs(9, random)).toBe(Math.round(4_000 * (1 - random)));
    }
  });
  test('by default it is at most a tenth, the attempts are ten and the longest delay a minute', () => {
    const policy = exponentialBackoff();
    expect(policy).toMatchObject({ maxAttempts: 10, longestDelayMs: 60_000 });
    expect([policy.delayMs(1, 0), policy.delayMs(2, 0), policy.delayMs(10, 0)]).toEqual([
      1_000, 2_000, 60_000,
    ]);
    expect(policy.delayMs(1, 0.999_999)).toBe(900);
  });
});

test('fixedDelays makes one attempt more than it has delays', () => {
  const policy = fixedDelays([10, 50]);
  expect(policy).toMatchObject({ maxAttempts: 3, longestDelayMs: 50 });
  expect([1, 2, 3].map((attempt) => policy.delayMs(attempt, 0.5))).toEqual([10, 50, 50]);
  expect(fixedDelays([]).delayMs(1, 0)).toBe(0);
});

test('what is no factor and no share is refused with its bounds; the bounds themselves are taken', () => {
  expect(() => exponentialBackoff({ factor: 0.9 })).toThrow(
    'factor must be a finite number of at least 1, not 0.9.',
  );
  expect(() => exponentialBackoff({ jitter: 1.1 })).toThrow('jitter must be from 0 to 1, not 1.1.');
  expect(() => exponentialBackoff({ jitter: Number.NaN })).toThrow('jitter must be from 0 to 1, not NaN.');
  exponentialBackoff({ factor: 1, jitter: 0 });
  exponentialBackoff({ factor: Number.MAX_VALUE, jitter: 1 });
});
