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
