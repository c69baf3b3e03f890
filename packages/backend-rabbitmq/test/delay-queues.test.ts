import { exponentialBackoff } from '@melange/core';
import type { Channel } from 'amqplib';
import { describe, expect, test } from 'vitest';
import { ManualClock } from '../../core/test/support/manual-clock.ts';
import { DelayQueues, roundUpDelay } from '../src/topology/delay-queues.ts';

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
  const clock = new ManualClock();
  return { asked, clock, queues: new DelayQueues({ use: (work) => work(channel) }, clock) };
}

test('delays are rounded up by a tenth at most, so that jitter makes few queues', () => {
  expect([0.2, 1, 9, 10, 20, 21, 50, 51, 99, 100, 101, 1_234, 59_999, 60_000].map(roundUpDelay)).toEqual([
    1, 1, 9, 10, 20, 22, 50, 55, 100, 100, 110, 1_300, 60_000, 60_000,
  ]);
  const policy = exponentialBackoff();
  const queues = new Set<number>();
  for (let attempt = 1; attempt <= 10; attempt += 1) {
    for (let random = 0; random < 1; random += 0.001) {
      const delayMs = policy.delayMs(attempt, random);
      const rounded = roundUpDelay(delayMs);
      expect(rounded).toBeGreaterThanOrEqual(delayMs);
      expect(rounded).toBeLessThanOrEqual(delayMs * 1.1);
      queues.add(rounded);
    }
  }
  expect(queues.size).toBeLessThan(30);
});

describe('a delay queue', () => {
  test('of weeks outlives by a day what waits in it', async () => {
    let settings: Record<string, unknown> = {};
    const channel = {
      assertQueue: async (_: string, options: { arguments: Record<string, unknown> }) => {
        settings = options.arguments;
      },
      get: async () => false,
    } as unknown as Channel;
    const day = 86_400_000;
    await new DelayQueues({ use: (work) => work(channel) }, new ManualClock()).prepare('q', 40 * day);
    expect(settings['x-expires']).toBe((settings['x-message-ttl'] as number) + day);
    expect(settings['x-message-ttl']).toBeGreaterThanOrEqual(40 * day);
  });

  test('is declared once for concurrent uses, and again after an hour, long before it expires', async () => {
    const { asked, clock, queues } = broker();
    const names = await Promise.all([queues.prepare('q', 1_234), queues.prepare('q', 1_201)]);
    expect(names).toEqual(['q.delay.1300', 'q.delay.1300']);
    expect(asked).toEqual(['declare q.delay.1300', 'get q.delay.1300']);
    await clock.advance(3_599_000);
    await queues.prepare('q', 1_300);
    expect(asked).toHaveLength(2);
    await clock.advance(2_000);
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
    const use = async (): Promise<never> => {
      if (fails) throw new Error('no broker');
      return undefined as never;
    };
    const queues = new DelayQueues({ use }, new ManualClock());
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
