import { expect, test } from 'vitest';
import { ManualClock, settled } from '../../core/test/support/manual-clock.ts';
import { Hand } from '../src/consume/hand.ts';
import type { Held } from '../src/consume/held.ts';

/** What a subscription holds, and what SQS was asked for. No emulator hands out what this takes. */
function scene(mayPark = true) {
  const clock = new ManualClock();
  const givenBack: (readonly [id: unknown, delayMs: number])[] = [];
  const renewed: string[][] = [];
  let changes = 0;
  const idOf = ({ raw }: Held): string => raw.MessageId ?? '';
  const hand = new Hand({
    clock,
    mayPark,
    leases: {
      leaseMs: 30_000,
      renew: async (batch) => {
        renewed.push(batch.map(idOf));
        return [];
      },
    },
    giveBack: async (held, delayMs) => void givenBack.push([idOf(held), delayMs]),
    onChange: () => {
      changes += 1;
    },
  });
  const hold = (MessageId: string, groupId?: string): Held => ({
    raw: { MessageId },
    message: {} as never,
    attempt: 1,
    redeliveries: 0,
    groupId,
    receivedAt: clock.monotonicNow(),
    leasedAt: clock.monotonicNow(),
  });
  const next = (): string[] => hand.takeReady(10).map(idOf);
  return { clock, hand, hold, next, givenBack, renewed, changes: () => changes };
}

test('one of each group is handed over at a time, in order, and what has no group at once', () => {
  const { hand, hold, next } = scene();
  const [first, second, third] = ['1', '2', '3'].map((id) => hold(id, 'a')) as [Held, Held, Held];
  hand.enter([first, second, third, hold('other', 'b'), hold('alone'), hold('alone too')]);
  expect(next()).toEqual(['1', 'other', 'alone', 'alone too']);
  expect(hand.headOf('a')).toBe(first);
  expect(hand.waiting).toBe(2);
  hand.leave(first);
  expect(next()).toEqual(['2']);
  hand.leave(second);
  expect(next()).toEqual(['3']);
  hand.leave(third);
  expect(hand.headOf('a')).toBeUndefined();
  hand.enter([first]);
  expect(next()).toEqual(['1']);
});

test('when the first message of a group is lost those behind it go back, the last one first, and none is handed over', async () => {
  const { hand, hold, next, givenBack } = scene();
  const [first, ...others] = ['1', '2', '3'].map((id) => hold(id, 'group')) as [Held, ...Held[]];
  hand.enter([first, ...others]);
  expect(next()).toEqual(['1']);
  hand.lose(first);
  await settled();
  expect(next()).toEqual([]);
  expect(givenBack).toEqual([
    ['3', 0],
    ['2', 0],
  ]);
  expect(hand.hasGroups).toBe(false);
});

test('what waits is kept leased, and one of it that is lost lets nobody go: the first one goes already', async () => {
  const { clock, hand, hold, next, renewed, givenBack } = scene();
  const [first, second, third] = ['1', '2', '3'].map((id) => hold(id, 'group')) as [Held, Held, Held];
  hand.enter([first, second, third]);
  expect(next()).toEqual(['1']);
  await clock.advance(10_000);
  expect(renewed).toEqual([['2', '3']]);
  hand.lose(second);
  await settled();
  // It would be handed over ahead of the lost one.
  expect(givenBack).toEqual([['3', 0]]);
  hand.leave(first);
  expect(next()).toEqual([]);
  expect(hand.waiting).toBe(0);
});

test('what is taken says since when its lease lasts', async () => {
  const { clock, hand, hold } = scene();
  const [first, second] = ['1', '2'].map((id) => hold(id, 'group')) as [Held, Held];
  hand.enter([first, second]);
  hand.takeReady(1);
  const begun = clock.monotonicNow();
  await clock.advance(14_000);
  hand.leave(first);
  expect(hand.takeReady(1).map(({ leasedAt }) => leasedAt)).toEqual([begun + 10_000]);
});

test('a thousand messages wait for their delays here; further ones do at SQS', async () => {
  const { clock, hand, hold, next } = scene();
  const all = Array.from({ length: 1_001 }, (_, n) => hold(String(n)));
  hand.enter(all);
  hand.takeReady(2_000);
  const parked = all.map((held) => hand.park(held, { ...held }, 20_000, false));
  expect(parked.filter((isParked) => !isParked)).toHaveLength(1);
  expect(parked.at(-1)).toBe(false);
  expect(hand.waiting).toBe(0);
  await clock.advance(19_999);
  expect(next()).toEqual([]);
  await clock.advance(1);
  expect(hand.takeReady(2_000)).toHaveLength(1_000);
});

test('messages that wait for a delay go back at the close with what is left of it, behind those of their groups', async () => {
  const { clock, hand, hold, next, givenBack } = scene();
  const [first, second, other] = [hold('1', 'group'), hold('2', 'group'), hold('other')];
  hand.enter([first, second, other]);
  next();
  hand.park(first, { ...first }, 20_000, true);
  await clock.advance(15_000);
  await hand.giveBackKept();
  hand.close();
  expect(givenBack).toEqual([
    ['2', 0],
    ['1', 5_000],
  ]);
  expect(clock.pending).toBe(0);
});

test('a message that follows one that waits for its delay does not count as waiting, and is handed over after it', async () => {
  const { clock, hand, hold, next } = scene();
  const first = hold('1', 'group');
  hand.enter([first]);
  next();
  const again = { ...first };
  expect(hand.park(first, again, 5_000, false)).toBe(true);
  hand.enter([hold('2', 'group'), hold('3', 'other')]);
  expect(hand.waiting).toBe(1);
  expect(next()).toEqual(['3']);
  await clock.advance(5_000);
  expect(next()).toEqual(['1']);
  hand.leave(again);
  expect(next()).toEqual(['2']);
});

test('a failure that holds up nobody here waits at SQS, which counts it for other processes, too', () => {
  const { hand, hold, next } = scene();
  const [alone, first, second] = [hold('alone'), hold('1', 'group'), hold('2', 'group')];
  hand.enter([alone, first, second]);
  next();
  expect(hand.park(alone, { ...alone }, 7_000, true)).toBe(false);
  expect(hand.park(alone, { ...alone }, 7_000, false)).toBe(true);
  expect(hand.park(first, { ...first }, 7_000, true)).toBe(true);
  expect(scene(false).hand.park(hold('other'), hold('other'), 0, false)).toBe(false);
});

test('whoever waits is told of each change', async () => {
  const { clock, hand, hold, next, changes } = scene();
  const [first, second] = [hold('1', 'group'), hold('2', 'group')];
  const told: number[] = [];
  const tell = (): void => void told.push(changes());
  hand.enter([first, second]);
  tell();
  next();
  const again = { ...first };
  hand.park(first, again, 1_000, true);
  await clock.advance(1_000);
  tell();
  next();
  hand.leave(again);
  tell();
  hand.lose(second);
  tell();
  expect(told).toEqual([1, 2, 3, 4]);
});
