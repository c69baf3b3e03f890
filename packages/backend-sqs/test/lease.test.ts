import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Batcher } from '../src/batcher.ts';
import { Lease, type LeaseRequests, type VisibilityChange } from '../src/lease.ts';

const hour = 3_600_000;

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** Requests that are taken, and kept. No emulator holds a message for twelve hours while a test waits. */
function requests(visibilityTimeoutSeconds: number): LeaseRequests & { readonly sent: VisibilityChange[] } {
  const sent: VisibilityChange[] = [];
  const common = {
    isTransient: () => true,
    isEntryAtFault: () => false,
    timeoutError: () => new Error('late'),
    sizeOf: () => 0,
    maxBytes: 1,
    lingerMs: 1,
    requestTimeoutMs: 1_000,
    maxRequests: 1,
  };
  return {
    sent,
    visibilityTimeoutSeconds,
    warn: () => undefined,
    deletes: new Batcher<string>({ ...common, send: async () => [] }),
    visibilities: new Batcher<VisibilityChange>({
      ...common,
      send: async (changes) => {
        sent.push(...changes);
        return [];
      },
    }),
  };
}

test('a lease is extended up to twelve hours after its receive, and then lost', async () => {
  const made = requests(1_800);
  const lost = vi.fn();
  const lease = new Lease('handle', made, lost);
  const from = Date.now();
  let lostAfter = 0;
  lost.mockImplementation(() => {
    lostAfter = Date.now() - from;
  });
  while (Date.now() - from < 13 * hour) {
    lease.keep(Date.now());
    await vi.advanceTimersByTimeAsync(60_000);
  }
  expect(lost).toHaveBeenCalledTimes(1);
  expect(lostAfter).toBeGreaterThan(12 * hour - 1_860_000);
  expect(lostAfter).toBeLessThanOrEqual(12 * hour + 60_000);
  expect(made.sent.length).toBeGreaterThan(20);
  // SQS refuses what would end beyond the twelve hours.
  expect(made.sent.every(({ seconds }) => seconds > 0 && seconds <= 1_800)).toBe(true);
});

test('a retry is delayed no further than the twelve hours', async () => {
  const made = requests(30);
  const given = new Lease('handle', made, () => undefined).giveBack(24 * 3_600);
  await vi.advanceTimersByTimeAsync(10);
  await given;
  expect(made.sent).toEqual([{ receiptHandle: 'handle', seconds: 12 * 3_600 }]);
});

test('a lease that was given back is extended no more', async () => {
  const made = requests(30);
  const lost = vi.fn();
  const lease = new Lease('handle', made, lost);
  const given = lease.giveBack(0);
  await vi.advanceTimersByTimeAsync(60_000);
  await given;
  lease.keep(Date.now());
  await vi.advanceTimersByTimeAsync(60_000);
  expect(made.sent).toEqual([{ receiptHandle: 'handle', seconds: 0 }]);
  expect(lost).not.toHaveBeenCalled();
});
