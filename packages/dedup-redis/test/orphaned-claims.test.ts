import { expect, test } from 'vitest';
import { OrphanedClaims } from '../src/orphaned-claims.ts';

test('an orphaned claim is used once, by whoever comes first', () => {
  const orphans = new OrphanedClaims();
  orphans.add('key', 'first');
  expect(orphans.take('other')).toBeUndefined();
  expect(orphans.take('key')).toBe('first');
  expect(orphans.take('key')).toBeUndefined();
  expect(orphans.takeExactly('key', 'first')).toBe(false);
  orphans.add('key', 'second');
  expect(orphans.takeExactly('key', 'second')).toBe(true);
  expect(orphans.take('key')).toBeUndefined();
  orphans.add('key', 'third');
  expect(orphans.takeAll()).toEqual([['key', 'third']]);
  expect(orphans.takeAll()).toEqual([]);
});

test('of two claims of a key the later one counts, and the answer to the earlier one takes nothing from it', () => {
  const orphans = new OrphanedClaims();
  orphans.add('key', 'earlier');
  orphans.add('key', 'later');
  expect(orphans.takeExactly('key', 'earlier')).toBe(false);
  expect(orphans.take('key')).toBe('later');
});

test('ten thousand are remembered, and the one that was added longest ago is forgotten first', () => {
  const orphans = new OrphanedClaims();
  for (let n = 0; n < 10_000; n += 1) orphans.add(`key-${n}`, 'fence');
  orphans.add('key-0', 'again');
  orphans.add('one more', 'fence');
  expect(orphans.take('key-1')).toBeUndefined();
  expect(orphans.take('key-0')).toBe('again');
  expect(orphans.takeAll()).toHaveLength(9_999);
});
