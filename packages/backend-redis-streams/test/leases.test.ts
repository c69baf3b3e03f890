import { silentLogger } from '@melange/core';
import { afterEach, beforeEach, expect, it, onTestFinished, vi } from 'vitest';
import { type Leased, Leases } from '../src/consume/leases.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

interface Held extends Leased {
  readonly lose: ReturnType<typeof vi.fn<Leased['lose']>>;
}

const held = (id: string, leasedAt = performance.now()): Held => ({ id, leasedAt, lose: vi.fn(() => true) });

/** Leases of 3 s, renewed every second as `renew` says. */
function leasesOf(renew: (ids: readonly string[], deadline: number) => Promise<readonly string[]>) {
  const leases = new Leases<Held>({ queue: 'orders', leaseMs: 3_000, logger: silentLogger, renew });
  onTestFinished(() => leases.stop());
  return leases;
}

it('counts a renewed lease from the request on, not from its answer', async () => {
  const leases = leasesOf(async () => {
    await new Promise((resolve) => setTimeout(resolve, 700));
    return [];
  });
  const one = held('1');
  leases.add(one);
  await vi.advanceTimersByTimeAsync(1_800);
  expect(one.leasedAt).toBe(performance.now() - 800);
});

it('takes a message from its handler that somebody else holds now, and leaves it the others', async () => {
  const leases = leasesOf(async () => ['2']);
  const [one, two] = [held('1'), held('2')] as const;
  leases.add(one);
  leases.add(two);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(one.lose).not.toHaveBeenCalled();
  expect(two.lose).toHaveBeenCalledWith('lease-lost', expect.any(String));
});

it('loses each message when its own lease has ended, though none is renewed any more', async () => {
  const leases = leasesOf((_, deadline) => {
    const wait = Math.max(0, deadline - performance.now());
    return new Promise((_, reject) => setTimeout(() => reject(new Error('no answer')), wait));
  });
  const from = performance.now();
  const lostAt = new Map<string, number>();
  const add = (id: string): void => {
    const one = held(id);
    one.lose.mockImplementation(() => {
      lostAt.set(id, performance.now() - from);
      leases.delete(one);
      return true;
    });
    leases.add(one);
  };
  add('1');
  await vi.advanceTimersByTimeAsync(900);
  add('2');
  await vi.advanceTimersByTimeAsync(4_000);
  expect(lostAt.get('1')).toBe(3_000);
  expect(lostAt.get('2')).toBeGreaterThanOrEqual(3_900);
  expect(lostAt.get('2')).toBeLessThan(4_100);
});

it('asks also when the process stood still for longer than a lease: perhaps nobody took the message', async () => {
  const deadlines: number[] = [];
  const leases = leasesOf(async (_, deadline) => {
    deadlines.push(deadline - performance.now());
    return [];
  });
  const one = held('1', performance.now() - 60_000);
  leases.add(one);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(deadlines).toEqual([1_000]);
  expect(one.lose).not.toHaveBeenCalled();
});

it('keeps the delivery that has taken the place of another one of the same entry', () => {
  const leases = leasesOf(async () => []);
  const [earlier, later] = [held('1'), held('1')];
  leases.add(earlier);
  leases.add(later);
  leases.delete(earlier);
  expect(leases.get('1')).toBe(later);
});
