import { fixedDelays } from '@melange/core';
import { describe, expect, test } from 'vitest';
import { fail, start, succeed } from './support/processing.ts';
import { Scene } from './support/scene.ts';

describe('row "it ends its process"', () => {
  const crashed = { kind: 'dead-letter', reason: 'crashed', error: { code: 'CRASHED' } };
  test('handed out in vain more than maxRedeliveries times it is dead-lettered without being run', async () => {
    const killer = succeed('a');
    const within = start([killer], { redeliveries: 4, rules: { maxRedeliveries: 4 } });
    expect(await within.outcome).toMatchObject({ kind: 'acknowledge' });
    expect(killer.runs).toBe(1);
    const beyond = start([killer], { redeliveries: 5, rules: { maxRedeliveries: 4 } });
    expect(await beyond.outcome).toMatchObject(crashed);
    expect(beyond.reports).toMatchObject([{ error: { message: expect.stringContaining('6 times') } }]);
    expect(killer.runs).toBe(1);
  });
  test('comes before what its content is: reading it may be what ends the process', async () => {
    const observed = start([succeed('a')], { redeliveries: 21, message: { content: '{' } });
    expect(await observed.outcome).toMatchObject(crashed);
  });
  test('without a dead-letter queue it is retried at the longest delay, not run, and reported each time', async () => {
    const killer = succeed('a');
    const observed = start([killer], { redeliveries: 21, rules: { deadLetterQueue: undefined } });
    expect(await observed.outcome).toEqual({ kind: 'retry', delayMs: 200, because: 'not-run' });
    expect(observed.reports).toMatchObject([{ error: { code: 'CRASHED' } }]);
    expect(killer.runs).toBe(0);
  });
  test('where the broker counts as an attempt whatever it hands out, one after the last attempt is as telling', async () => {
    const rules = { maxAttemptsHandedOut: 3 };
    expect(await start([fail('a')], { attempt: 3, rules }).outcome).toMatchObject({
      reason: 'attempts exhausted',
    });
    expect(await start([succeed('a')], { attempt: 4, rules }).outcome).toMatchObject(crashed);
  });
  test('an acknowledgement before processing comes first', async () => {
    const observed = start([succeed('a')], { redeliveries: 99, rules: { earlyAck: true } });
    expect(await observed.outcome).toEqual({ kind: 'acknowledged-early' });
    expect(observed.reports).toEqual([]);
  });
});

test.each([
  [1, 21, 0],
  [1, 22, 1],
  [30, 30, 0],
  [30, 31, 1],
])(
  'a broker that counts what it hands out, %i attempts allowed: attempt %i, %i crashed',
  async (max, attempt, crashed) => {
    const scene = await Scene.open();
    await scene.publish(1);
    const backend = Object.create(
      scene.withDeliveries(() => ({ attempt })),
      {
        capabilities: { value: { ...scene.backend.capabilities, releaseKeepsAttempt: false } },
      },
    ) as typeof scene.backend;
    const dispatcher = scene.dispatcher(() => undefined, {
      backend,
      retry: fixedDelays(Array(max - 1).fill(1)),
    });
    await dispatcher.consumeEvent('orders');
    expect(dispatcher.counters).toMatchObject({ deadLettered: crashed, acknowledged: 1 - crashed });
    await scene.close();
  },
);
