import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Backlog, maxUnderWay } from '../src/publish/backlog.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test('lets so many messages be under way, and the others in as those are over, in order', async () => {
  const backlog = new Backlog(30_000);
  expect(backlog.enter(maxUnderWay - 1, undefined)).toBeUndefined();
  expect(backlog.enter(1, undefined)).toBeUndefined();
  const started: number[] = [];
  for (const count of [3, 1, 1]) void backlog.enter(count, undefined)?.then(() => started.push(count));
  backlog.leave(1, true);
  await vi.advanceTimersByTimeAsync(0);
  // Three have no room, and nobody overtakes them.
  expect(started).toEqual([]);
  backlog.leave(3, true);
  await vi.advanceTimersByTimeAsync(0);
  expect(started).toEqual([3, 1]);
  backlog.leave(1, true);
  await vi.advanceTimersByTimeAsync(0);
  expect(started).toEqual([3, 1, 1]);
});

test('more than there is ever room for goes when nothing else is under way', async () => {
  const backlog = new Backlog(30_000);
  expect(backlog.enter(1, undefined)).toBeUndefined();
  const start = vi.fn();
  void backlog.enter(maxUnderWay + 1, undefined)?.then(start);
  await vi.advanceTimersByTimeAsync(0);
  expect(start).not.toHaveBeenCalled();
  backlog.leave(1, true);
  await vi.advanceTimersByTimeAsync(0);
  expect(start).toHaveBeenCalledTimes(1);
});

test('who named no deadline waits while the destination takes messages, and no longer than the timeout when it takes none', async () => {
  const backlog = new Backlog(30_000);
  backlog.enter(maxUnderWay, undefined);
  const failed = vi.fn();
  backlog.enter(10, undefined)?.catch(failed);
  for (let round = 0; round < 5; round += 1) {
    await vi.advanceTimersByTimeAsync(29_000);
    backlog.leave(1, true);
    backlog.enter(1, undefined)?.catch(() => undefined);
  }
  expect(failed).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(20_000);
  // Failures are no progress.
  backlog.leave(1, false);
  await vi.advanceTimersByTimeAsync(8_500);
  expect(failed).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(2_500);
  expect(failed).toHaveBeenCalledTimes(1);
  expect(failed.mock.calls[0]?.[0]).toMatchObject({ code: 'PUBLISH_TIMEOUT' });
});

test('who named a deadline waits until then', async () => {
  const backlog = new Backlog(30_000);
  backlog.enter(maxUnderWay, undefined);
  const failed = vi.fn();
  backlog.enter(1, performance.now() + 5_000)?.catch(failed);
  for (let second = 0; second < 4; second += 1) {
    await vi.advanceTimersByTimeAsync(1_000);
    expect(failed).not.toHaveBeenCalled();
  }
  await vi.advanceTimersByTimeAsync(2_000);
  expect(failed).toHaveBeenCalledTimes(1);
  // Who is too late takes no room.
  const start = vi.fn();
  void backlog.enter(1, undefined)?.then(start);
  backlog.leave(1, true);
  await vi.advanceTimersByTimeAsync(0);
  expect(start).toHaveBeenCalledTimes(1);
});

test('thousands that wait are let in, each once', async () => {
  const backlog = new Backlog(30_000);
  backlog.enter(maxUnderWay, undefined);
  const started: number[] = [];
  for (let index = 0; index < 5_000; index += 1)
    void backlog.enter(1, undefined)?.then(() => started.push(index));
  for (let index = 0; index < 5_000; index += 1) backlog.leave(1, true);
  await vi.advanceTimersByTimeAsync(0);
  expect(started).toEqual(Array.from({ length: 5_000 }, (_, index) => index));
});
