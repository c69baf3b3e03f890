import { expect, test } from 'vitest';
import { reconnectDelayMs } from '../src/index.ts';

test('the pause doubles from 100 ms to 5 s, and at most half of it is random', () => {
  expect([1, 2, 3, 7, 2_000].map((attempt) => reconnectDelayMs(attempt, 0))).toEqual([
    100, 200, 400, 5_000, 5_000,
  ]);
  expect(reconnectDelayMs(1, 0.999)).toBe(50);
  expect(reconnectDelayMs(7, 0.5)).toBe(3_750);
});
