import { expect, test } from 'vitest';
import { figures, orderSaga } from './support/run.ts';

test.skipIf(process.env.REDIS_URL === undefined)(
  '200 orders on Redis Streams are all accounted for, and the process ends by itself (skipped without REDIS_URL)',
  { timeout: 120_000 },
  async () => {
    const flags = ['--backend', 'redis-streams', '--orders', '200', '--failure-rate', '0.2'];
    const { status, stdout, stderr } = await orderSaga(flags);
    expect({ status, stderr }).toMatchObject({ status: 0 });
    expect(figures(stdout)).toMatchObject({
      'orders placed': 200,
      completed: 198,
      'dead-lettered': 2,
      lost: 0,
      'unaccounted for': 0,
      'paid twice': 0,
    });
  },
);
