import { checkDelayMs, checkWholeNumber } from '@melange/core/adapter';
import { expect, test } from 'vitest';

const refusedEverywhere = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -1];

test.each([0, 0.5, 1, 1e12])('%d is a delay', (value) => {
  expect(checkDelayMs('delayMs', value)).toBe(value);
});

test.each([...refusedEverywhere, '5' as never, undefined as never])('%s is no delay', (value) => {
  expect(() => checkDelayMs('leaseMs', value)).toThrow(expect.objectContaining({ code: 'CONFIGURATION' }));
  expect(() => checkDelayMs('leaseMs', value)).toThrow(/^leaseMs must be .*, not "?(NaN|-?Inf|-1|5|undef)/);
});

test.each([1, 2, 9_007_199_254_740_991])('%d is a whole number of at least 1', (value) => {
  expect(checkWholeNumber('concurrency', value, 1)).toBe(value);
});

test.each([...refusedEverywhere, 0, 1.5, 2 ** 53, '5' as never])('%s is none', (value) => {
  const check = () => checkWholeNumber('maxInFlight', value, 1);
  expect(check).toThrow(expect.objectContaining({ code: 'CONFIGURATION' }));
  expect(check).toThrow(/^maxInFlight must be a whole number of at least 1, not /);
});
