import { combineHealth } from '@melange/core';
import { expect, test } from 'vitest';

test('several healths are as healthy as the worst of them, and say what is wrong with each', () => {
  expect(combineHealth({})).toEqual({ status: 'healthy' });
  expect(combineHealth({ orders: { status: 'healthy' } })).toEqual({ status: 'healthy' });
  const parts = {
    orders: { status: 'healthy' },
    refunds: { status: 'unhealthy', detail: 'the queue was deleted' },
    mails: { status: 'degraded' },
  } as const;
  expect(combineHealth(parts)).toEqual({
    status: 'unhealthy',
    detail: 'refunds: the queue was deleted; mails: degraded',
  });
  expect(combineHealth({ mails: parts.mails }).status).toBe('degraded');
});
