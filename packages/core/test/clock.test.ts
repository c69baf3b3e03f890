import { systemClock } from '@melange/core';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';

const day = 86_400_000;

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test('a delay beyond what a timer of Node can hold is kept', () => {
  const callback = vi.fn();
  systemClock.schedule(callback, 60 * day);
  vi.advanceTimersByTime(60 * day - 1);
  expect(callback).not.toHaveBeenCalled();
  vi.advanceTimersByTime(1);
  expect(callback).toHaveBeenCalledOnce();
});

test('it can be cancelled in any part of it', () => {
  const callback = vi.fn();
  const cancel = systemClock.schedule(callback, 60 * day);
  vi.advanceTimersByTime(40 * day);
  cancel();
  vi.advanceTimersByTime(40 * day);
  expect(callback).not.toHaveBeenCalled();
});

test('the wall clock may step: monotonic time goes on as before', () => {
  vi.useRealTimers();
  const before = systemClock.monotonicNow();
  vi.spyOn(Date, 'now').mockReturnValue(0);
  try {
    expect(systemClock.now()).toBe(0);
    expect(systemClock.monotonicNow()).toBeGreaterThanOrEqual(before);
    expect(systemClock.monotonicNow() - before).toBeLessThan(10_000);
  } finally {
    vi.restoreAllMocks();
  }
});
