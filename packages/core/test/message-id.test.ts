import { uuidVersion7Source } from '@melange/core';
import { expect, test } from 'vitest';

test('the example of RFC 9562, appendix A.6', () => {
  // 017F22E2-79B0-7CC3-98C4-DC0C0C07398F: rand_a is 0xCC3, rand_b 0x18C4DC0C0C07398F.
  const clock = { now: () => 0x017f22e279b0 };
  const randomBytes = (bytes: Uint8Array) =>
    bytes.set([0x0c, 0xc3, 0x18, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39, 0x8f]);
  expect(uuidVersion7Source({ clock, randomBytes })()).toBe('017f22e2-79b0-7cc3-98c4-dc0c0c07398f');
});

test('ids differ and sort by time', () => {
  let now = 1;
  const next = uuidVersion7Source({ clock: { now: () => now++ } });
  const ids = Array.from({ length: 1_000 }, next);
  expect(new Set(ids).size).toBe(1_000);
  expect([...ids].sort()).toEqual(ids);
});
