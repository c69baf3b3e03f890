import { describe, expect, it } from 'vitest';
import { type Plan, planOf, runPlan, shrink } from '../src/simulation/index.ts';

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

describe('a schedule that broke an invariant once', () => {
  it('parks a key of which the broker has a message twice, and comes to rest', async () => {
    const plan: Plan = {
      seed: 6106,
      family: 'leasing',
      workers: 1,
      concurrency: 2,
      ordering: 'key',
      hasCache: true,
      consumers: 1,
      messages: [
        { at: 294, key: undefined, behaviour: 'succeed' },
        { at: 646, key: undefined, behaviour: 'succeed' },
        { at: 2_462, key: undefined, behaviour: 'succeed' },
        { at: 3_020, key: 'key-2', behaviour: 'succeed' },
        { at: 3_060, key: undefined, behaviour: 'throw-once' },
        { at: 3_371, key: 'key-3', behaviour: 'throw-always' },
        { at: 4_958, key: undefined, behaviour: 'slow' },
        { at: 5_075, key: 'key-1', behaviour: 'throw-always' },
        { at: 5_141, key: 'key-4', behaviour: 'throw-once' },
        { at: 5_915, key: 'key-3', behaviour: 'succeed' },
        { at: 8_353, key: 'key-1', behaviour: 'slow' },
      ],
      faults: [
        { at: 1_449, kind: 'network', worker: -1, fault: 'answer-lost', forMs: 7_375 },
        { at: 3_998, kind: 'stop', worker: 0, deadlineMs: 2_514, forMs: 9_578 },
      ],
    };
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
    expect(shrunk.violations[0]?.invariant).toBe('everything comes to rest');
  }, 60_000);
});
