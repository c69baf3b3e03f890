import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Deadlines, type Waiting } from '../src/publish/deadlines.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function scene() {
  const deadlines = new Deadlines();
  const expired: string[] = [];
  const waiting = (name: string, afterMs: number): Waiting => {
    const one = { endsAt: performance.now() + afterMs, expire: () => void expired.push(name) };
    deadlines.add(one);
    return one;
  };
  return { deadlines, expired, waiting };
}

test('each expires at its own time, whatever the order they came in, by one timer', () => {
  const { expired, waiting } = scene();
  waiting('late', 5_000);
  waiting('early', 1_000);
  waiting('middle', 3_000);
  expect(vi.getTimerCount()).toBe(1);
  vi.advanceTimersByTime(999);
  expect(expired).toEqual([]);
  vi.advanceTimersByTime(2);
  expect(expired).toEqual(['early']);
  vi.advanceTimersByTime(1_998);
  expect(expired).toEqual(['early']);
  vi.advanceTimersByTime(30);
  expect(expired).toEqual(['early', 'middle']);
  vi.advanceTimersByTime(2_000);
  expect(expired).toEqual(['early', 'middle', 'late']);
  expect(vi.getTimerCount()).toBe(0);
});

test('what was deleted does not expire; what comes after it does', () => {
  const { deadlines, expired, waiting } = scene();
  deadlines.delete(waiting('done', 1_000));
  waiting('open', 2_000);
  vi.advanceTimersByTime(1_500);
  expect(expired).toEqual([]);
  vi.advanceTimersByTime(600);
  expect(expired).toEqual(['open']);
});

test('one that is added by one that expires has its time', () => {
  const { deadlines, expired } = scene();
  const second = { endsAt: performance.now() + 1_500, expire: () => void expired.push('second') };
  deadlines.add({ endsAt: performance.now() + 1_000, expire: () => deadlines.add(second) });
  vi.advanceTimersByTime(1_600);
  expect(expired).toEqual(['second']);
});

test('a process does not run on for something that is over', () => {
  vi.useRealTimers();
  const { deadlines, waiting } = scene();
  const timers = (): number => process.getActiveResourcesInfo().filter((one) => one === 'Timeout').length;
  const before = timers();
  const one = waiting('one', 60_000);
  expect(timers()).toBe(before + 1);
  deadlines.delete(one);
  expect(timers()).toBe(before);
  const other = waiting('other', 60_000);
  expect(timers()).toBe(before + 1);
  deadlines.delete(other);
});
