import { fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
// The suite as data: the package gives it to tests only as `describeDeduplicationCache`.
import { checkDeduplicationCache } from '../../conformance/src/cache/check-deduplication-cache.ts';
import { type Defect, NaiveRedisCache } from './support/naive-redis-cache.ts';

const url = process.env.REDIS_URL ?? '';
const program = fileURLToPath(new URL('support/naive-claimer.ts', import.meta.url));

/** What the suite finds wrong with a cache of that mistake, of the behaviours that processes share. */
async function failures(defect: Defect, only: readonly string[]): Promise<string[]> {
  const results = await checkDeduplicationCache(
    {
      name: defect,
      races: 30,
      create: ({ ttlMs }) => {
        const prefix = `${randomUUID()}:`;
        return {
          cache: new NaiveRedisCache(url, prefix, ttlMs, defect),
          startProcess: () => fork(program, [url, prefix, defect], { execArgv: ['--import', 'tsx'] }),
          elapse: (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds)),
        };
      },
    },
    { only },
  );
  return results.filter(({ status }) => status === 'fail').map(({ id }) => id);
}

const mutants: readonly (readonly [Defect, string])[] = [
  ['checksThenSets', 'processes/one-winner'],
  ['marksBeforeProcessing', 'processes/killed-holder'],
  ['claimsNeverExpire', 'processes/killed-holder'],
  ['confirmsWithoutToken', 'processes/late-confirm'],
  ['comparesClientClocks', 'processes/clock-skew'],
];

/** Starting eight processes takes a busy machine its time. */
const timeout = 120_000;

test.skipIf(url === '').each(mutants)(
  'the suite finds that it %s (skipped without REDIS_URL)',
  { timeout },
  async (defect, caughtBy) => {
    expect(await failures(defect, [caughtBy])).toEqual([caughtBy]);
  },
);

test.skipIf(url === '')(
  'and passes the one without a mistake (skipped without REDIS_URL)',
  { timeout },
  async () => {
    expect(await failures('none', [...new Set(mutants.map(([, id]) => id))])).toEqual([]);
  },
);
