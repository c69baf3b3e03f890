import { afterAll, describe, expect, it } from 'vitest';
import { startEcho } from '../../backend-kit/test/support/wire.ts';
import { checkBackend } from '../src/backend/check-backend.ts';
import { brokerMutants, leasing, pushing } from './support/mutant-brokers.ts';

const echo = await startEcho();
afterAll(() => echo.stop());

describe('the suite finds defects between two backends, when connections break and when leases end', () => {
  for (const { defect, caughtBy, suite } of brokerMutants) {
    it(defect, { timeout: 60_000 }, async () => {
      const [result] = await checkBackend(suite(echo.address), { only: [caughtBy] });
      expect(result).toMatchObject({ id: caughtBy, status: 'fail' });
    });
  }

  it.each([
    ['leases', leasing()],
    ['pushes', pushing()],
  ])('and passes a healthy broker that %s', { timeout: 120_000 }, async (_, suite) => {
    const only = [...new Set(brokerMutants.map(({ caughtBy }) => caughtBy))];
    // Only mutants are waited for in vain: on a loaded machine a healthy broker needs the suite's own patience.
    const { patienceMs: _short, ...options } = suite(echo.address);
    const results = await checkBackend(options, { only });
    expect(results.filter(({ status }) => status === 'fail')).toEqual([]);
  });
});
