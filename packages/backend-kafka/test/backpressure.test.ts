import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Assignment } from '../src/consume/assignment.ts';
import { Backpressure } from '../src/consume/backpressure.ts';
import { PartitionTracker } from '../src/consume/partition-tracker.ts';
import { toRetry } from '../src/wire/copies.ts';
import type { IncomingRecord } from '../src/wire/message.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test('what waits for long in the retry topic makes way when its copy is confirmed, and not before', async () => {
  const underWay: { readonly confirm: () => void; readonly fail: (error: Error) => void }[] = [];
  const postpone = () => new Promise<void>((confirm, fail) => void underWay.push({ confirm, fail }));
  let resumed = 0;
  const tracker = new PartitionTracker('orders.retry', 0, 0, new Set());
  const assignment = new Assignment(new Map([['orders.retry/0', tracker]]), () => undefined);
  for (let offset = 0; offset < 4; offset += 1) {
    tracker.receive(offset);
    const place = { topic: 'orders.retry', partition: 0, offset, size: 1 };
    const record = { ...place, key: null, value: Buffer.from('1'), headers: {} };
    assignment.add(toRetryAt(record, Date.now() + 3_600_000), tracker);
  }
  const backpressure = new Backpressure(
    'orders',
    4,
    { postpone },
    {
      onResumed: () => {
        resumed += 1;
      },
      onFinished: () => undefined,
    },
  );
  backpressure.apply(assignment);
  await vi.advanceTimersByTimeAsync(1);
  expect([underWay.length, assignment.waiting, tracker.prefix]).toEqual([4, 0, 0]);
  for (const { fail } of underWay.splice(0)) fail(new Error('not confirmed'));
  await vi.advanceTimersByTimeAsync(1);
  // They wait here again, for their time or the next try.
  expect([assignment.waiting, tracker.prefix, resumed, tracker.isPaused]).toEqual([4, 0, 0, true]);
  await vi.advanceTimersByTimeAsync(2_000);
  expect([underWay.length, tracker.prefix]).toEqual([4, 0]);
  for (const { confirm } of underWay) confirm();
  await vi.advanceTimersByTimeAsync(1);
  expect([assignment.waiting, tracker.prefix, resumed, tracker.isPaused]).toEqual([0, 4, 1, false]);
  // Their copies come at that time, not they.
  await vi.advanceTimersByTimeAsync(3_600_000);
  expect(assignment.buffered).toBe(0);
});

/** The record as it is in the retry topic. */
function toRetryAt(record: IncomingRecord, notBefore: number): IncomingRecord {
  const { headers } = toRetry(record, { attemptsMade: 1, redeliveries: 0, notBefore });
  return { ...record, headers };
}
