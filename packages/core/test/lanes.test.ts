import { describe, expect, test } from 'vitest';
import { Lanes, type Linked } from '../src/dispatch/lanes.ts';

interface Item extends Linked<Item> {
  readonly name: string;
}

function item(name: string): Item {
  return { name, next: undefined };
}

function lanesOf(...entries: readonly (readonly [name: string, key?: string])[]): Lanes<Item> {
  const lanes = new Lanes<Item>();
  for (const [name, key] of entries) lanes.enter(item(name), key);
  return lanes;
}

/** Runs everything to its end, one at a time. */
function order(lanes: Lanes<Item>): string[] {
  const names: string[] = [];
  for (let lane = lanes.takeReady(); lane !== undefined; lane = lanes.takeReady()) {
    names.push(lane.first?.name ?? 'nothing');
    lanes.advance(lane);
  }
  return names;
}

const namesOf = (items: Iterable<Item>): string[] => Array.from(items, ({ name }) => name);

test('items of a key wait for each other, those without one for nobody', () => {
  const lanes = lanesOf(['a1', 'a'], ['x'], ['a2', 'a'], ['y'], ['b1', 'b']);
  const running = [
    lanes.takeReady(),
    lanes.takeReady(),
    lanes.takeReady(),
    lanes.takeReady(),
    lanes.takeReady(),
  ];
  expect(running.map((lane) => lane?.first?.name)).toEqual(['a1', 'x', 'y', 'b1', undefined]);
  for (const lane of running) if (lane !== undefined) lanes.advance(lane);
  expect(order(lanes)).toEqual(['a2']);
});

test('a key is there until its last item has left, and its next item opens a lane anew', () => {
  const lanes = lanesOf(['a1', 'a'], ['x']);
  expect([lanes.has('a'), lanes.has('b')]).toEqual([true, false]);
  expect(order(lanes)).toEqual(['a1', 'x']);
  expect(lanes.has('a')).toBe(false);
  lanes.enter(item('a2'), 'a');
  expect(order(lanes)).toEqual(['a2']);
});

test('an item that has left leads to none of those behind it', () => {
  const lanes = lanesOf(['a1', 'a'], ['a2', 'a']);
  const lane = lanes.takeReady();
  const first = lane?.first;
  if (lane === undefined) throw new Error('nothing is ready');
  lanes.advance(lane);
  expect([first?.next, lane.first?.name]).toEqual([undefined, 'a2']);
});

test('every item is seen, running, ready and behind one, each once', () => {
  const lanes = lanesOf(['a1', 'a'], ['a2', 'a'], ['x'], ['y'], ['b1', 'b']);
  lanes.takeReady();
  expect(namesOf(lanes).sort()).toEqual(['a1', 'a2', 'b1', 'x', 'y']);
  expect([...lanes.withKeys()].map(({ key }) => key)).toEqual(['a', 'b']);
});

describe('taking out', () => {
  test('what waits behind the first one leaves it alone in its lane', () => {
    const lanes = lanesOf(['a1', 'a'], ['a2', 'a'], ['a3', 'a']);
    const lane = lanes.takeReady();
    if (lane === undefined) throw new Error('nothing is ready');
    const followers = lanes.takeFollowers(lane);
    expect(followers.map(({ name, next }) => [name, next])).toEqual([
      ['a2', undefined],
      ['a3', undefined],
    ]);
    expect(namesOf(lanes)).toEqual(['a1']);
    lanes.enter(item('a4'), 'a');
    lanes.advance(lane);
    expect(order(lanes)).toEqual(['a4']);
    expect(lanes.takeFollowers(lane)).toEqual([]);
  });

  test('everything ends the lane', () => {
    const lanes = lanesOf(['a1', 'a'], ['a2', 'a']);
    const lane = lanes.takeReady();
    if (lane === undefined) throw new Error('nothing is ready');
    expect(namesOf(lanes.takeAll(lane))).toEqual(['a1', 'a2']);
    expect([lanes.has('a'), namesOf(lanes)]).toEqual([false, []]);
    lanes.enter(item('a3'), 'a');
    expect(order(lanes)).toEqual(['a3']);
  });
});

describe('an item that is the same as one there', () => {
  const startsWith = (letter: string) => (other: Item) => other.name.startsWith(letter);

  test('enters right behind the last of them', () => {
    const lanes = lanesOf(['r1', 'a'], ['r2', 'a'], ['s1', 'a']);
    expect(lanes.enterBehindSame('a', item('r3'), startsWith('r'))).toBe(true);
    expect(order(lanes)).toEqual(['r1', 'r2', 'r3', 's1']);
  });

  test('is the last one where the other was, and what enters later stands behind it', () => {
    const lanes = lanesOf(['s1', 'a'], ['r1', 'a']);
    expect(lanes.enterBehindSame('a', item('r2'), startsWith('r'))).toBe(true);
    lanes.enter(item('s2'), 'a');
    expect(order(lanes)).toEqual(['s1', 'r1', 'r2', 's2']);
  });

  test('does not enter where there is none, or no such key', () => {
    const lanes = lanesOf(['s1', 'a']);
    expect(lanes.enterBehindSame('a', item('r1'), startsWith('r'))).toBe(false);
    expect(lanes.enterBehindSame('b', item('s2'), startsWith('s'))).toBe(false);
    expect(namesOf(lanes)).toEqual(['s1']);
  });
});
