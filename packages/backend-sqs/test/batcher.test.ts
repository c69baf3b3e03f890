import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Batcher, type BatcherSettings, type EntryFailure } from '../src/client/batcher.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function batcherOf(settings: Partial<BatcherSettings<number>> & Pick<BatcherSettings<number>, 'send'>) {
  return new Batcher<number>({
    isTransient: () => true,
    isEntryAtFault: () => true,
    timeoutError: (timeoutMs) => new Error(`late after ${timeoutMs}`),
    sizeOf: () => 1,
    maxBytes: 100,
    lingerMs: 3,
    requestTimeoutMs: 1_000,
    maxRequests: 1,
    ...settings,
  });
}

test('collects by count, by bytes and by time', async () => {
  const sent: (readonly number[])[] = [];
  const batcher = batcherOf({
    maxRequests: 16,
    sizeOf: (entry) => entry,
    async send(entries) {
      sent.push(entries);
      return [];
    },
  });
  const all = [...Array(12).fill(1), 60, 41, 101, 30].map((entry) => batcher.add(entry, 1_000));
  await vi.advanceTimersByTimeAsync(0);
  // The first ten are full; 60 has no room for 41, nor 41 for 101, and that none for 30.
  expect(sent.map((batch) => batch.length)).toEqual([10, 3, 1, 1]);
  await vi.advanceTimersByTimeAsync(2);
  expect(sent).toHaveLength(4);
  await vi.advanceTimersByTimeAsync(1);
  expect(sent.slice(1)).toEqual([[1, 1, 60], [41], [101], [30]]);
  await Promise.all(all);
});

test('a request that is not answered in time is made again, whatever the client calls its end', async () => {
  let requests = 0;
  const batcher = batcherOf({
    isTransient: () => false,
    isEntryAtFault: () => false,
    send: (_, signal) => {
      requests += 1;
      if (requests > 1) return Promise.resolve([]);
      return new Promise((_, reject) => {
        signal.addEventListener('abort', () => reject(new Error('aborted')));
      });
    },
  });
  const added = batcher.add(1, 5_000);
  await vi.advanceTimersByTimeAsync(2_000);
  await added;
  expect(requests).toBe(2);
});

test('draining does not wait for a batch to fill', async () => {
  const send = vi.fn(async () => []);
  const batcher = batcherOf({ lingerMs: 10_000, send });
  const added = batcher.add(1, 60_000);
  const drained = batcher.drain();
  await vi.advanceTimersByTimeAsync(1);
  expect(send).toHaveBeenCalledTimes(1);
  await Promise.all([added, drained]);
});

test('sends again the entries that were named, and only those', async () => {
  const sent: (readonly number[])[] = [];
  const failures: EntryFailure[][] = [
    [
      { index: 4, error: new Error('later'), isTransient: true },
      { index: 1, error: new Error('never'), isTransient: false },
    ],
    [],
  ];
  const batcher = batcherOf({
    async send(entries) {
      sent.push(entries);
      return failures.shift() ?? [];
    },
  });
  const outcomes = Promise.allSettled([10, 11, 12, 13, 14].map((entry) => batcher.add(entry, 1_000)));
  await vi.advanceTimersByTimeAsync(200);
  expect(sent).toEqual([[10, 11, 12, 13, 14], [14]]);
  expect((await outcomes).map(({ status }) => status)).toEqual([
    'fulfilled',
    'rejected',
    'fulfilled',
    'fulfilled',
    'fulfilled',
  ]);
});

test('what is out of time is not sent any more, wherever it waits, and holds up nothing', async () => {
  const sent: (readonly number[])[] = [];
  let answer = (): void => undefined;
  const batcher = batcherOf({
    send(entries) {
      sent.push(entries);
      return new Promise((resolve) => {
        answer = () => resolve([]);
      });
    },
  });
  const first = batcher.add(0, 10_000);
  batcher.flush();
  const late = [1, 2, 5].map((entry) => batcher.add(entry, 100));
  const kept = [3, 4, 6].map((entry) => batcher.add(entry, 10_000));
  const failed = Promise.allSettled(late);
  await vi.advanceTimersByTimeAsync(101);
  expect((await failed).map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
  answer();
  await vi.advanceTimersByTimeAsync(10);
  expect(sent).toEqual([[0], [3, 4, 6]]);
  answer();
  await Promise.all([first, ...kept]);
  expect(batcher.isIdle).toBe(true);
});

test('a hundred thousand entries of one turn are sent in order, in time that grows with their number', async () => {
  vi.useRealTimers();
  const count = 100_000;
  let next = 0;
  let isInOrder = true;
  const batcher = batcherOf({
    async send(entries) {
      for (const entry of entries) {
        isInOrder &&= entry === next;
        next += 1;
      }
      return [];
    },
  });
  const from = performance.now();
  await Promise.all(Array.from({ length: count }, (_, entry) => batcher.add(entry, 60_000)));
  expect(next).toBe(count);
  expect(isInOrder).toBe(true);
  // Taken from the front of an array one batch after the other, they would be moved for minutes.
  expect(performance.now() - from).toBeLessThan(20_000);
});

test('with one request at a time, what is sent again is not overtaken', async () => {
  const taken: number[] = [];
  let failures = 3;
  const batcher = batcherOf({
    async send(entries) {
      if (failures > 0) {
        failures -= 1;
        throw new Error('later');
      }
      taken.push(...entries);
      return [];
    },
  });
  const all = Promise.all(Array.from({ length: 25 }, (_, entry) => batcher.add(entry, 60_000)));
  await vi.advanceTimersByTimeAsync(2_000);
  await all;
  expect(taken).toEqual(Array.from({ length: 25 }, (_, index) => index));
});
