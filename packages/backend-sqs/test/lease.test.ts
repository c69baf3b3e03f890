import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { EntryFailure } from '../src/client/batcher.ts';
import { Lease, type LeaseRequests, type VisibilityChange } from '../src/consume/lease.ts';
import { requests, type Sent } from './support/lease-requests.ts';

const hour = 3_600_000;

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** Whether SQS takes a change of a message that we got at this time; requests and answers are 5 s on their way. */
function isAllowed({ at, seconds }: Sent, received: number): boolean {
  return at + 5_000 + seconds * 1_000 <= received - 5_000 + 12 * hour;
}

test('a lease is extended up to twelve hours after its receive, and then lost', async () => {
  const made = requests(1_800);
  const lost = vi.fn();
  const lease = new Lease('handle', made, performance.now(), lost);
  const from = performance.now();
  let lostAfter = 0;
  lost.mockImplementation(() => {
    lostAfter = performance.now() - from;
  });
  while (performance.now() - from < 13 * hour) {
    lease.keep(performance.now());
    await vi.advanceTimersByTimeAsync(60_000);
  }
  expect(lost).toHaveBeenCalledTimes(1);
  expect(lostAfter).toBeGreaterThan(12 * hour - 120_000);
  expect(lostAfter).toBeLessThanOrEqual(12 * hour + 60_000);
  expect(made.sent.length).toBeGreaterThan(20);
  expect(made.sent.every(({ seconds }) => seconds > 0 && seconds <= 1_800)).toBe(true);
  expect(made.sent.filter((change) => !isAllowed(change, from))).toEqual([]);
});

test('a retry is delayed no further than the twelve hours', async () => {
  const made = requests(30);
  const from = performance.now();
  const given = new Lease('handle', made, performance.now(), () => undefined).giveBack(24 * 3_600);
  await vi.advanceTimersByTimeAsync(10);
  await given;
  expect(made.sent).toHaveLength(1);
  const [change] = made.sent as [Sent];
  expect(change.seconds).toBeGreaterThan(12 * 3_600 - 60);
  expect(isAllowed(change, from)).toBe(true);
});

function refusedAs(message: string) {
  const error = Object.assign(new Error(message), { name: 'InvalidParameterValue' });
  return (): EntryFailure[] => [{ index: 0, error, isTransient: false }];
}

test('an extension that is refused as too long is said once, and loses nothing that is still held', async () => {
  const text =
    'Value 30 for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout for the message is beyond the limit [43200 seconds].';
  const made = requests(30, refusedAs(text));
  const lost = vi.fn();
  const lease = new Lease('handle', made, performance.now(), lost);
  for (let second = 0; second < 29; second += 1) {
    lease.keep(performance.now());
    await vi.advanceTimersByTimeAsync(1_000);
  }
  expect(lost).not.toHaveBeenCalled();
  expect(made.warnings).toEqual([expect.stringContaining('beyond the limit')]);
  await vi.advanceTimersByTimeAsync(1_000);
  lease.keep(performance.now());
  expect(lost).toHaveBeenCalledTimes(1);
});

test('an extension that is refused for its receipt loses the message at once', async () => {
  const text = 'Value AQEB for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired.';
  const lost = vi.fn();
  const lease = new Lease('handle', requests(30, refusedAs(text)), performance.now(), lost);
  await vi.advanceTimersByTimeAsync(20_000);
  lease.keep(performance.now());
  await vi.advanceTimersByTimeAsync(10);
  expect(lost).toHaveBeenCalledTimes(1);
});

test('a lease that was given back is extended no more', async () => {
  const made = requests(30);
  const lost = vi.fn();
  const lease = new Lease('handle', made, performance.now(), lost);
  const given = lease.giveBack(0);
  await vi.advanceTimersByTimeAsync(60_000);
  await given;
  lease.keep(performance.now());
  await vi.advanceTimersByTimeAsync(60_000);
  expect(made.sent).toMatchObject([{ receiptHandle: 'handle', seconds: 0 }]);
  expect(lost).not.toHaveBeenCalled();
});

test('what goes back does so behind an extension that is under way, which would hide it again', async () => {
  const sent: number[] = [];
  let answer = (): void => undefined;
  const add = ({ seconds }: VisibilityChange): Promise<void> => {
    sent.push(seconds);
    return new Promise((resolve) => {
      answer = resolve;
    });
  };
  const made = { ...requests(30), visibilities: { add } } as unknown as LeaseRequests;
  const lease = new Lease('receipt', made, performance.now(), () => undefined);
  vi.advanceTimersByTime(15_000);
  lease.keep(performance.now());
  const back = lease.giveBack(0);
  await vi.advanceTimersByTimeAsync(1);
  expect(sent).toEqual([30]);
  answer();
  await vi.advanceTimersByTimeAsync(1);
  expect(sent).toEqual([30, 0]);
  answer();
  await back;
});

test('a lease that was extended lasts from the request on, not from its answer', async () => {
  let answer = (): void => undefined;
  const add = (): Promise<void> =>
    new Promise((resolve) => {
      answer = resolve;
    });
  const made = { ...requests(30), visibilities: { add } } as unknown as LeaseRequests;
  const lost = vi.fn();
  const lease = new Lease('receipt', made, performance.now(), lost);
  await vi.advanceTimersByTimeAsync(15_000);
  lease.keep(performance.now());
  // The answer takes 10 s; SQS counts from when it took the request.
  await vi.advanceTimersByTimeAsync(10_000);
  answer();
  await vi.advanceTimersByTimeAsync(19_999);
  expect(lease.hasEnded(performance.now())).toBe(false);
  await vi.advanceTimersByTimeAsync(2);
  expect(lease.hasEnded(performance.now())).toBe(true);
  lease.keep(performance.now());
  expect(lost).toHaveBeenCalledTimes(1);
});

test('a lease counts from when its message can have been handed out', async () => {
  const lost = vi.fn();
  const since = performance.now();
  await vi.advanceTimersByTimeAsync(31_000);
  const lease = new Lease('receipt', requests(30), since, lost);
  expect(lease.hasEnded(performance.now())).toBe(true);
  lease.keep(performance.now());
  expect(lost).toHaveBeenCalledTimes(1);
});

test('a clock that is set by an hour, either way, ends no lease and keeps none', async () => {
  for (const hours of [1, -1]) {
    const made = requests(30);
    const lost = vi.fn();
    const lease = new Lease('receipt', made, performance.now(), lost);
    await vi.advanceTimersByTimeAsync(15_000);
    vi.setSystemTime(Date.now() + hours * hour);
    lease.keep(performance.now());
    await vi.advanceTimersByTimeAsync(10);
    expect(lost).not.toHaveBeenCalled();
    expect(made.sent).toHaveLength(1);
    const given = lease.giveBack(60);
    await vi.advanceTimersByTimeAsync(10);
    await given;
    expect(made.sent[1]?.seconds).toBe(60);
  }
});
