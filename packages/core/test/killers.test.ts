import { describe, expect, test } from 'vitest';
import { generator, supervised } from './support/supervised.ts';

const seeds = [3, 5, 7, 11, 13, 17];
const range = (count: number): number[] => Array.from({ length: count }, (_, n) => n);

/** A worker whose messages are judged by the numbers of those that end it. */
async function outcome(
  killers: readonly number[],
  scenario: Omit<Parameters<typeof supervised>[0], 'isKiller'>,
): Promise<Awaited<ReturnType<typeof supervised>>> {
  const result = await supervised({ ...scenario, isKiller: (n) => killers.includes(n) });
  expect(result.dead).toEqual(killers);
  expect([...result.done].sort((left, right) => left - right)).toEqual(
    range(scenario.count).filter((n) => !killers.includes(n)),
  );
  expect([...result.reasons]).toEqual(['crashed']);
  return result;
}

describe('messages that end their process go to the dead-letter queue, and no other', () => {
  test.each(seeds)('one of a full window (seed %i)', async (seed) => {
    const { mostRedeliveries } = await outcome([0], { count: 60, concurrency: 20, random: generator(seed) });
    expect(mostRedeliveries).toBeLessThanOrEqual(10);
  });

  test.each(seeds)('one, with few redeliveries allowed (seed %i)', async (seed) => {
    await outcome([4], { count: 30, concurrency: 10, maxRedeliveries: 5, random: generator(seed) });
  });

  test.each(seeds)('half of a window (seed %i)', async (seed) => {
    const random = generator(seed);
    const { mostRedeliveries } = await outcome([0, 1, 4, 5, 8], { count: 20, concurrency: 10, random });
    // Nothing but itself takes a message beyond half of what is allowed, but what is at hand before it is judged.
    expect(mostRedeliveries).toBeLessThanOrEqual(13);
  });

  test.each(seeds)('some that keep coming among the others (seed %i)', async (seed) => {
    const killers = range(40).filter((n) => n % 8 === 2);
    await outcome(killers, { count: 40, concurrency: 8, maxRedeliveries: 12, random: generator(seed) });
  });

  test.each(seeds)('some that run for seconds before they end it (seed %i)', async (seed) => {
    const scenario = { count: 20, concurrency: 10, diesAfterMs: 3_500, random: generator(seed) };
    const { mostRedeliveries } = await outcome([0, 1, 4, 5, 8], scenario);
    expect(mostRedeliveries).toBeLessThanOrEqual(13);
  });

  test.each(seeds)('the same with keys in order (seed %i)', async (seed) => {
    const key = (n: number): string => `${n % 4}`;
    const scenario = { count: 24, concurrency: 5, ordering: 'key', key, diesAfterMs: 3_500 } as const;
    await outcome([0, 5], { ...scenario, random: generator(seed) });
  });

  test.each(seeds)('with keys in order, of two keys (seed %i)', async (seed) => {
    const key = (n: number): string => `${n % 2}`;
    await outcome([0, 9], { count: 30, concurrency: 5, ordering: 'key', key, random: generator(seed) });
  });

  test.each(seeds)('with keys in order, of many keys and none (seed %i)', async (seed) => {
    const key = (n: number): string | undefined => (n % 3 === 0 ? undefined : `${n % 7}`);
    await outcome([1, 3], { count: 30, concurrency: 4, ordering: 'key', key, random: generator(seed) });
  });

  test.each(seeds)('in a queue in order (seed %i)', async (seed) => {
    const random = generator(seed);
    await outcome([0, 3], { count: 12, concurrency: 5, ordering: 'queue', random });
  });
});

test('a message ends its process no oftener than maxRedeliveries says, plus once', async () => {
  const { crashes } = await outcome([0], { count: 1, maxRedeliveries: 5, random: generator(7) });
  expect(crashes).toBe(6);
});
