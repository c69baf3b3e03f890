import { describe, expect, it } from 'vitest';
import { ManualClock, settled } from '../../core/test/support/manual-clock.ts';
import { type BatchLimits, SharedRequests } from '../src/index.ts';
import { consuming, idsIn } from './support/consuming.ts';
import { last, pass } from './support/scripted-driver.ts';

/** Requests that are answered when the test says so. */
function scene(limits: Partial<BatchLimits>, inHand?: () => number) {
  const clock = new ManualClock();
  const sent: (readonly number[])[] = [];
  const answers: ((errors?: readonly unknown[]) => void)[] = [];
  const requests = new SharedRequests<number>({
    clock,
    limits,
    ...(inHand !== undefined && { inHand }),
    send: (batch) => {
      sent.push(batch);
      return new Promise((resolve) => answers.push(resolve));
    },
  });
  return { clock, sent, answers, requests };
}

describe('shared requests', () => {
  it('one that is added alone goes at once, and what is added meanwhile goes together', async () => {
    const { sent, answers, requests } = scene({ maxMessages: 3 });
    for (const item of [0]) void requests.add(item);
    await settled();
    for (const item of [1, 2, 3, 4]) void requests.add(item);
    await settled();
    expect(sent).toEqual([[0]]);
    for (let round = 0; round < 2; round += 1) {
      answers.shift()?.();
      await settled();
    }
    expect(sent).toEqual([[0], [1, 2, 3], [4]]);
  });

  it('each item hears of its own error', async () => {
    const { answers, requests } = scene({});
    const outcomes = Promise.allSettled([requests.add(0), requests.add(1)]);
    await settled();
    answers[0]?.([undefined, new Error('of the second one')]);
    expect((await outcomes).map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
  });

  it('an item waits for others that are in hand, and no longer than the linger', async () => {
    let inHand = 3;
    const { clock, sent, requests } = scene({ maxMessages: 10, maxUnderWay: 2, lingerMs: 20 }, () => inHand);
    for (const item of [0, 1]) void requests.add(item);
    await settled();
    await clock.advance(19);
    expect(sent).toEqual([]);
    await clock.advance(1);
    expect(sent).toEqual([[0, 1]]);
    // Two are under way, and this is the last one.
    void requests.add(2);
    await settled();
    expect(sent).toEqual([[0, 1], [2]]);
    inHand = 0;
    expect(clock.pending).toBe(0);
  });
});

it('acknowledgements wait for other deliveries of their subscription, where the driver says so', async () => {
  const acknowledging = { maxMessages: 10, maxUnderWay: 4, lingerMs: 1_000 };
  const { script, deliveries } = await consuming({ source: { acknowledging } });
  last(script.takes).resolve({ taken: script.messages(3) });
  await settled();
  for (const delivery of deliveries.slice(0, 2)) void delivery.acknowledge();
  await pass(script, 900);
  expect(script.acknowledged).toEqual([]);
  void deliveries[2]?.acknowledge();
  await settled();
  expect(script.acknowledged.map(({ argument }) => idsIn(argument))).toEqual([['m1', 'm2', 'm3']]);
});

it('a request for messages waits for room for a whole one, and no longer than the linger', async () => {
  const source = { lingerMs: 20, maxMessagesPerTake: 3 };
  const { script, deliveries } = await consuming({ source, maxInFlight: 3 });
  last(script.takes).resolve({ taken: script.messages(3) });
  await settled();
  void deliveries[0]?.acknowledge();
  await settled();
  last(script.acknowledged).resolve(undefined);
  await pass(script, 19);
  expect(script.takes).toHaveLength(1);
  await pass(script, 1);
  expect(script.takes.map(({ argument }) => argument)).toEqual([3, 1]);
});
