import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { AttemptMemory } from '../src/consume/attempt-memory.ts';
import type { SqsDelivery } from '../src/consume/delivery.ts';
import { type Held, HeldMessages } from '../src/consume/held-messages.ts';
import { Lease } from '../src/consume/lease.ts';
import { requests } from './support/lease-requests.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** The messages of a subscription, what was handed over of them, and what SQS was asked for. No emulator hands out what this takes. */
function setUp(maxInFlight = 10) {
  const made = requests(30);
  const handedOver: SqsDelivery[] = [];
  const memory = new AttemptMemory();
  const messages = new HeldMessages({
    maxInFlight,
    mayPark: true,
    memory,
    context: {
      deadLetter: async () => undefined,
      assertDeadLetterQueue: async () => undefined,
      onSettling: () => undefined,
      onDeleting: () => undefined,
    },
    handOver: (delivery) => void handedOver.push(delivery),
    onChange: () => undefined,
  });
  const hold = (id: string, groupId?: string, since = performance.now()): Held => ({
    received: { MessageId: id, Body: id, Attributes: { ApproximateReceiveCount: '1' } },
    groupId,
    counts: { attempt: 1, redeliveries: 0 },
    lease: new Lease(id, made, since, () => undefined),
    delivery: undefined,
    timer: undefined,
    dueAt: 0,
  });
  return {
    messages,
    hold,
    handedOver,
    names: () => handedOver.map(({ message }) => message.content),
    /** What a delivery of the message says when SQS hands it out once more. */
    countsOfNext: (id: string) =>
      memory.countsOf({ MessageId: id, Attributes: { ApproximateReceiveCount: '2' } }),
    givenBack: () => made.sent.map(({ receiptHandle, seconds }) => [receiptHandle, seconds]),
  };
}

test('when the first message of a group is lost those behind it go back, the last one first, and none is handed over', async () => {
  const { messages, hold, names, givenBack } = setUp();
  const [first, ...others] = ['1', '2', '3'].map((id) => hold(id, 'group'));
  messages.take([first as Held, ...others]);
  messages.lose(first as Held);
  await vi.advanceTimersByTimeAsync(100);
  expect(names()).toEqual(['1']);
  expect(givenBack()).toEqual([
    ['3', 0],
    ['2', 0],
  ]);
  expect(messages.size).toBe(0);
});

test('a message whose lease has ended while the process stood still is not handed over, nor are those behind it', async () => {
  const { messages, hold, names } = setUp();
  const longAgo = performance.now() - 30_000;
  messages.take([hold('1', 'group', longAgo), hold('2', 'group', longAgo), hold('3', 'other')]);
  await vi.advanceTimersByTimeAsync(100);
  expect(names()).toEqual(['3']);
  expect(messages.size).toBe(1);
});

test('a thousand messages wait for their delays here; further ones do at SQS', async () => {
  const { messages, hold, handedOver, givenBack } = setUp(2_000);
  messages.take(Array.from({ length: 1_001 }, (_, n) => hold(String(n))));
  const settled = handedOver.map((delivery) => delivery.retry({ delayMs: 20_000, because: 'deferred' }));
  await vi.advanceTimersByTimeAsync(100);
  await Promise.all(settled);
  expect(givenBack()).toEqual([['1000', 20]]);
  expect(messages.size).toBe(1_000);
  await vi.advanceTimersByTimeAsync(20_000);
  expect(handedOver).toHaveLength(2_001);
});

test('messages that wait for a delay go back at the close with what is left of it, and take no room before', async () => {
  const { messages, hold, handedOver, givenBack, countsOfNext } = setUp(2);
  messages.take([hold('1'), hold('2')]);
  expect(messages.room).toBe(0);
  await handedOver[0]?.retry({ delayMs: 20_000, because: 'deferred' });
  expect(messages.room).toBe(1);
  await vi.advanceTimersByTimeAsync(15_000);
  const closed = messages.close();
  await vi.advanceTimersByTimeAsync(100);
  await closed;
  expect(givenBack()).toEqual([['1', 5]]);
  // SQS counts its next receive, and nothing failed.
  expect(countsOfNext('1')).toEqual({ attempt: 1, redeliveries: 0 });
  expect(messages.size).toBe(1);
});

test('a message that follows one that waits for its delay takes no room, and is handed over after it', async () => {
  const { messages, hold, handedOver, names } = setUp(1);
  messages.take([hold('1', 'group')]);
  await handedOver[0]?.retry({ delayMs: 5_000, because: 'deferred' });
  messages.take([hold('2', 'group')]);
  expect(messages.room).toBe(1);
  messages.take([hold('3', 'other')]);
  expect(names()).toEqual(['1', '3']);
  await handedOver[1]?.retry({ delayMs: 60_000, because: 'deferred' });
  await vi.advanceTimersByTimeAsync(5_000);
  expect(names()).toEqual(['1', '3', '1']);
});

test('a failure that holds up nobody here waits at SQS, which counts it for other processes, too', async () => {
  const { messages, hold, handedOver, givenBack, countsOfNext } = setUp();
  messages.take([hold('1'), hold('2', 'group')]);
  const settled = handedOver.map((delivery) => delivery.retry({ delayMs: 7_000 }));
  await vi.advanceTimersByTimeAsync(100);
  await Promise.all(settled);
  expect(givenBack()).toEqual([
    ['1', 7],
    ['2', 7],
  ]);
  expect(countsOfNext('2')).toEqual({ attempt: 2, redeliveries: 0 });
  expect(messages.size).toBe(0);
});
