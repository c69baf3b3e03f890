import { describe, expect, it } from 'vitest';
import { planOf, runPlan, shrink } from '../src/simulation/index.ts';

describe('a simulated service', () => {
  it('keeps every invariant through 100 schedules of faults', async () => {
    for (let seed = 1; seed <= 100; seed += 1) {
      const { violations } = await runPlan(planOf(seed));
      expect(violations.map(({ message }) => `seed ${seed}: ${message}`)).toEqual([]);
    }
  }, 180_000);

  it('does the same each time that a seed is played', async () => {
    for (const seed of [3, 4, 5]) {
      const [once, again] = [
        await runPlan(planOf(seed), { tell: true }),
        await runPlan(planOf(seed), { tell: true }),
      ];
      expect(once.timeline.length).toBeGreaterThan(100);
      expect(again.timeline).toEqual(once.timeline);
    }
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
    expect(shrunk.violations[0]?.invariant).toBe('everything comes to rest');
  }, 60_000);
});
