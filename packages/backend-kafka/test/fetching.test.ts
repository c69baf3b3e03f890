import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { FetchedPartition, FetchRequest } from '../src/client/index.ts';
import { Assignment } from '../src/consume/assignment.ts';
import { Fetching } from '../src/consume/fetching.ts';
import { PartitionTracker } from '../src/consume/partition-tracker.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

interface Asked {
  readonly request: FetchRequest;
  readonly answer: (partitions: readonly FetchedPartition[]) => void;
  readonly fail: (error: Error) => void;
}

/** Partitions of one topic, led by these brokers, and a client that answers when the test says so. */
function scene(leaders: number[], maxBytesAtHand = 1_000) {
  const trackers = leaders.map((_, partition) => new PartitionTracker('orders', partition, 5, new Set()));
  const assignment = new Assignment(
    new Map(trackers.map((one) => [`orders/${one.partition}`, one])),
    () => undefined,
  );
  const asked: Asked[] = [];
  const told = { failed: [] as unknown[], broken: [] as unknown[], taken: [] as number[], outOfRange: 0 };
  let taking: Promise<void> = Promise.resolve();
  const fetching = new Fetching(assignment, {
    session: {
      fetch: (request) => new Promise((answer, fail) => void asked.push({ request, answer, fail })),
    },
    leadersOf: async () => leaders,
    maxBytesAtHand,
    take: async (tracker, { partition, records }) => {
      await taking;
      told.taken.push(partition);
      for (const record of records) if (tracker.receive(record.offset)) assignment.add(record, tracker);
    },
    outOfRange: async () => {
      told.outOfRange += 1;
      return 70;
    },
    onAnswer: () => undefined,
    onFailed: (error) => told.failed.push(error),
    onBroken: (error) => told.broken.push(error),
  });
  fetching.start();
  const keepTaking = (): (() => void) => {
    let go: () => void = () => undefined;
    taking = new Promise((resolve) => {
      go = resolve;
    });
    return () => go();
  };
  return { fetching, assignment, trackers, asked, told, leaders, keepTaking };
}

function fetched(partition: number, offsets: readonly number[], size = 1): FetchedPartition {
  const place = { topic: 'orders', partition, size, key: null, value: Buffer.from('1'), headers: {} };
  return {
    ...{ topic: 'orders', partition, error: undefined, highWatermark: 100 },
    records: offsets.map((offset) => ({ ...place, offset })),
    lastOffset: offsets.at(-1),
  };
}

function failed(partition: number, error: string): FetchedPartition {
  return { ...fetched(partition, []), error };
}

const settled = () => vi.advanceTimersByTimeAsync(1);
const offsetsOf = ({ request }: Asked) => request.partitions.map(({ offset }) => offset);

test('while an answer is taken in, the next fetch is under way behind it, and no third', async () => {
  const { asked, keepTaking, assignment } = scene([1]);
  await settled();
  const goOn = keepTaking();
  asked[0]?.answer([fetched(0, [5, 6, 7])]);
  await settled();
  expect(asked.map(offsetsOf)).toEqual([[5], [8]]);
  asked[1]?.answer([fetched(0, [8])]);
  await settled();
  expect(asked).toHaveLength(2);
  goOn();
  await settled();
  expect(asked.map(offsetsOf)).toEqual([[5], [8], [9]]);
  expect(assignment.ready).toBe(4);
});

test('each broker is asked by itself: one that does not answer holds up none other', async () => {
  const { asked, told } = scene([1, 2, 1]);
  await settled();
  expect(asked.map(({ request }) => [request.node, request.partitions.length])).toEqual([
    [1, 2],
    [2, 1],
  ]);
  asked[1]?.answer([fetched(1, [5])]);
  await settled();
  asked[2]?.answer([fetched(1, [6])]);
  await settled();
  expect(told.taken).toEqual([1, 1]);
  expect(asked.map(({ request }) => request.node)).toEqual([1, 2, 2, 2]);
});

test('nothing is fetched while as many bytes are at hand as may be, and no more than there is room for', async () => {
  const { asked, assignment } = scene([1]);
  await settled();
  asked[0]?.answer([fetched(0, [5, 6], 400)]);
  await settled();
  expect(asked[1]?.request.maxBytes).toBe(200);
  // A whole batch is more.
  asked[1]?.answer([fetched(0, [7], 400)]);
  await settled();
  expect(asked).toHaveLength(2);
  assignment.take();
  await settled();
  expect(asked[2]?.request.maxBytes).toBe(200);
});

test('a partition that is paused is not fetched, and is again when it is woken', async () => {
  const { asked, trackers, fetching } = scene([1, 1]);
  const [first, second] = trackers as [PartitionTracker, PartitionTracker];
  first.isPaused = true;
  await settled();
  expect(asked[0]?.request.partitions.map(({ partition }) => partition)).toEqual([1]);
  second.isPaused = true;
  asked[0]?.answer([]);
  await settled();
  expect(asked).toHaveLength(1);
  first.isPaused = false;
  fetching.wake();
  await settled();
  expect(asked[1]?.request.partitions.map(({ partition }) => partition)).toEqual([0]);
});

test('a partition whose leader moved is asked of the new one', async () => {
  const { asked, leaders, told } = scene([1]);
  await settled();
  leaders[0] = 2;
  asked[0]?.answer([failed(0, 'NOT_LEADER_FOR_PARTITION')]);
  await vi.advanceTimersByTimeAsync(1_000);
  // One more was under way to the broker of before.
  for (const { request, answer } of asked.slice(1)) if (request.node === 1) answer([]);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(asked.at(-1)?.request.node).toBe(2);
  expect(told.broken).toEqual([]);
});

test('a broker that cannot be reached is asked again after pauses that grow, and said to fail', async () => {
  const { asked, told } = scene([1]);
  await settled();
  for (let failures = 0; failures < 4; failures += 1) {
    asked.at(-1)?.fail(new Error('no connection'));
    await vi.advanceTimersByTimeAsync(3_000);
  }
  expect(asked.map(offsetsOf)).toEqual([[5], [5], [5], [5], [5]]);
  expect(told.failed).toHaveLength(4);
});

test('where the offset is not there any more it goes on at another one; a topic that is gone breaks it', async () => {
  const { asked, told } = scene([1]);
  await settled();
  asked[0]?.answer([failed(0, 'OFFSET_OUT_OF_RANGE')]);
  await settled();
  // One was under way.
  asked[1]?.answer([]);
  await settled();
  expect(offsetsOf(asked[2] as Asked)).toEqual([70]);
  expect(told).toMatchObject({ outOfRange: 1, broken: [] });
  asked[2]?.answer([failed(0, 'UNKNOWN_TOPIC_OR_PARTITION')]);
  await settled();
  expect(told.broken).toMatchObject([{ type: 'UNKNOWN_TOPIC_OR_PARTITION' }]);
});

test('an answer that comes when the partitions are lost is nobody’s, and nothing more is asked', async () => {
  const { asked, assignment, told, fetching } = scene([1, 2]);
  await settled();
  assignment.drop();
  fetching.wake();
  for (const { answer } of asked) answer([fetched(0, [5])]);
  await vi.advanceTimersByTimeAsync(5_000);
  expect(told.taken).toEqual([]);
  expect(asked).toHaveLength(2);
});
