import type { Channel } from 'amqplib';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { DelayQueues, roundUpDelay } from '../src/delay-queues.ts';

/** A broker that notes what it is asked, and holds `waiting` messages. */
function broker(waiting = 0) {
  const asked: string[] = [];
  const channel = {
    assertQueue: async (name: string) => asked.push(`declare ${name}`),
    get: async (name: string) => {
      asked.push(`get ${name}`);
      return waiting > 0 ? { fields: { deliveryTag: 1 } } : false;
    },
    nack: () => asked.push('give back'),
  } as unknown as Channel;
  return { asked, queues: new DelayQueues((work) => work(channel)) };
}

test('delays are rounded up to two digits', () => {
  expect([1, 0.2, 9, 10, 99, 100, 101, 1_234, 59_999, 60_000].map(roundUpDelay)).toEqual([
    1, 1, 9, 10, 99, 100, 110, 1_300, 60_000, 60_000,
  ]);
});

describe('a delay queue', () => {
  test('is declared once for concurrent uses, and again after an hour, long before it expires', async () => {
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
    const { asked, queues } = broker();
    const names = await Promise.all([queues.prepare('q', 1_234), queues.prepare('q', 1_201)]);
    expect(names).toEqual(['q.delay.1300', 'q.delay.1300']);
    expect(asked).toEqual(['declare q.delay.1300', 'get q.delay.1300']);
    vi.advanceTimersByTime(3_599_000);
    await queues.prepare('q', 1_300);
    expect(asked).toHaveLength(2);
    vi.advanceTimersByTime(2_000);
    await queues.prepare('q', 1_300);
    expect(asked).toHaveLength(4);
  });

  test('is renewed by asking for a message, which goes back', async () => {
    const { asked, queues } = broker(1);
    await queues.prepare('q', 5);
    expect(asked).toEqual(['declare q.delay.5', 'get q.delay.5', 'give back']);
  });

  test('that could not be declared is declared at the next use', async () => {
    let fails = true;
    const queues = new DelayQueues(async () => {
      if (fails) throw new Error('no broker');
      return undefined as never;
    });
    await expect(queues.prepare('q', 5)).rejects.toThrow('no broker');
    fails = false;
    await expect(queues.prepare('q', 5)).resolves.toBe('q.delay.5');
  });

  test('belongs to its queue alone', async () => {
    const { queues } = broker();
    await queues.prepare('q', 5);
    await queues.prepare('q.delay.x', 5);
    expect(queues.namesOf('q')).toEqual(['q.delay.5']);
    queues.forget('q.delay.5');
    expect(queues.namesOf('q')).toEqual([]);
  });
});
