import { expect, test } from 'vitest';
import { GroupLanes } from '../src/consume/group-lanes.ts';

interface Item {
  readonly name: string;
  readonly groupId: string | undefined;
}

const of = (groupId: string | undefined, ...names: string[]): Item[] =>
  names.map((name) => ({ name, groupId }));

test('one of each group goes at a time, in order, and what has no group at once', () => {
  const lanes = new GroupLanes<Item>();
  const [first, second, third] = of('a', 'first', 'second', 'third') as [Item, Item, Item];
  const others = [...of('b', 'other'), ...of(undefined, 'alone', 'alone')];
  expect([first, second, third, ...others].map((item) => lanes.enter(item))).toEqual([
    true,
    false,
    false,
    true,
    true,
    true,
  ]);
  expect(lanes.headOf('a')).toBe(first);
  expect(lanes.leave(first)).toBe(second);
  expect(lanes.leave(second)).toBe(third);
  expect(lanes.leave(third)).toBeUndefined();
  expect(lanes.headOf('a')).toBeUndefined();
  expect(lanes.enter(first)).toBe(true);
});

test('one that leaves while it waits, its lease lost, lets nobody go: the first one goes already', () => {
  const lanes = new GroupLanes<Item>();
  const [first, second, third] = of('a', 'first', 'second', 'third') as [Item, Item, Item];
  for (const item of [first, second, third]) lanes.enter(item);
  expect(lanes.leave(second)).toBeUndefined();
  expect(lanes.leave(second)).toBeUndefined();
  expect(lanes.leave(first)).toBe(third);
});

test('those that wait are taken out, and the first one stays', () => {
  const lanes = new GroupLanes<Item>();
  const [first, second, third] = of('a', 'first', 'second', 'third') as [Item, Item, Item];
  for (const item of [first, second, third]) lanes.enter(item);
  expect(lanes.followersOf(second)).toEqual([third]);
  expect(lanes.takeFollowers(second)).toEqual([third]);
  expect(lanes.takeWaiting()).toEqual([second]);
  expect(lanes.followersOf(first)).toEqual([]);
  expect(lanes.headOf('a')).toBe(first);
});
