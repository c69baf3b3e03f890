import { describe, expect, it } from 'vitest';
import { planOf, runPlan, shrink, timelineText } from '../src/simulation/index.ts';
import * as brokenOnce from './support/broken-once.ts';

describe('a simulated service', () => {
  it('keeps every invariant through 60 schedules of faults', async () => {
    for (let seed = 1; seed <= 60; seed += 1) {
      const { violations } = await runPlan(planOf(seed));
      expect(violations.map(({ message }) => `seed ${seed}: ${message}`)).toEqual([]);
    }
  }, 180_000);

  it.each(['leasing', 'pushing', 'partitioned'] as const)(
    'does the same each time on a %s broker',
    async (family) => {
      const seed = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10].find((one) => planOf(one).family === family) ?? 1;
      const plan = { ...planOf(seed), family };
      const once = await runPlan(plan, { tell: true });
      const again = await runPlan(plan, { tell: true });
      expect(once.timeline.length).toBeGreaterThan(100);
      expect(again.timeline).toEqual(once.timeline);
    },
  );

  it('is struck by every fault', async () => {
    const struck = new Set<string>();
    for (let seed = 1_000; seed < 1_060; seed += 1)
      for (const fault of (await runPlan(planOf(seed))).faults.keys()) struck.add(fault);
    const unstruck = [
      'request-lost',
      'answer-lost',
      'request-doubled',
      'stall',
      'late',
      'cut',
      'crash',
      'stop',
      'upgrade',
      'freeze',
      'clock-step',
      'cache-away',
      'cache-forgets',
      'rebalance',
      'fail-over',
      'queue-away',
      'publisher-closes',
    ].filter((fault) => !struck.has(fault));
    expect(unstruck).toEqual([]);
  }, 180_000);
});

describe('a schedule that broke an invariant once', () => {
  it.each(Object.entries(brokenOnce))('%s', async (_, plan) => {
    const { violations } = await runPlan(plan);
    expect(violations.map(({ message }) => message)).toEqual([]);
  });
});

describe('shrinking', () => {
  it('leaves the message that breaks the invariant, and no fault that it does not need', async () => {
    const plan = planOf(2);
    // Nobody consumes: nothing can come to rest.
    const result = await runPlan({ ...plan, workers: 0 });
    expect(result.violations[0]?.invariant).toBe('everything comes to rest');
    const shrunk = await shrink(result);
    expect(shrunk.plan.messages).toHaveLength(1);
    expect(shrunk.plan.faults).toEqual([]);
    expect(timelineText(shrunk)).toMatch(/takes m0[\s\S]*broken: everything comes to rest/);
  }, 60_000);
});
