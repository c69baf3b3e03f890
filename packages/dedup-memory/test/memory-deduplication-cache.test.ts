import { MemoryDeduplicationCache } from '@melange/dedup-memory';
import { expect, test } from 'vitest';

function cacheAt(options: { ttlMs?: number; maxEntries?: number } = {}) {
  const time = { now: 1_000, wall: 1_700_000_000_000 };
  const clock = { now: () => time.wall, monotonicNow: () => time.now, schedule: () => () => undefined };
  return { time, cache: new MemoryDeduplicationCache({ ...options, clock }) };
}

function done(cache: MemoryDeduplicationCache, key: string): void {
  const claim = cache.claim(key, { leaseMs: 10 });
  if (claim.status !== 'claimed' || !cache.confirm(claim.token)) throw new Error(`cannot confirm ${key}`);
}

test('forgets the oldest done keys first, and never exceeds its bound', () => {
  const { cache } = cacheAt({ maxEntries: 3 });
  for (const key of ['a', 'b', 'c', 'd']) done(cache, key);
  expect(cache.size).toBe(3);
  expect(cache.claim('d', { leaseMs: 10 })).toEqual({ status: 'done' });
  expect(cache.claim('a', { leaseMs: 10 })).toMatchObject({ status: 'claimed' });
});

test('never forgets a live claim: one too many is refused, until a lease ends', () => {
  const { cache, time } = cacheAt({ maxEntries: 2 });
  cache.claim('a', { leaseMs: 10 });
  cache.claim('b', { leaseMs: 50 });
  expect(() => cache.claim('c', { leaseMs: 10 })).toThrow(
    expect.objectContaining({ code: 'CACHE_UNAVAILABLE' }),
  );
  expect(cache.health()).toMatchObject({ status: 'degraded' });
  time.now += 10;
  expect(cache.claim('c', { leaseMs: 10 })).toMatchObject({ status: 'claimed' });
  expect(cache.claim('b', { leaseMs: 10 })).toEqual({ status: 'held' });
});

test('when it is full, leases that ran out go before done keys', () => {
  const { cache, time } = cacheAt({ maxEntries: 3 });
  done(cache, 'a');
  cache.claim('crashed', { leaseMs: 10 });
  cache.claim('working', { leaseMs: 50 });
  time.now += 10;
  expect(cache.claim('d', { leaseMs: 10 })).toMatchObject({ status: 'claimed' });
  expect(cache.claim('a', { leaseMs: 10 })).toEqual({ status: 'done' });
  expect(cache.claim('working', { leaseMs: 10 })).toEqual({ status: 'held' });
  expect(cache.size).toBe(3);
});

test('a renewed lease is not taken for one that ran out', () => {
  const { cache, time } = cacheAt({ maxEntries: 2 });
  const renewed = cache.claim('a', { leaseMs: 10 });
  if (renewed.status !== 'claimed') throw new Error('not claimed');
  cache.claim('b', { leaseMs: 10 });
  cache.extend(renewed.token, { leaseMs: 100 });
  time.now += 10;
  expect(cache.claim('c', { leaseMs: 10 })).toMatchObject({ status: 'claimed' });
  expect(cache.claim('a', { leaseMs: 10 })).toEqual({ status: 'held' });
  expect(() => cache.claim('d', { leaseMs: 10 })).toThrow(/live claims/);
});

test('answers at once, and forgets a done key only after its time', () => {
  const { cache, time } = cacheAt({ ttlMs: 100 });
  done(cache, 'a');
  time.now += 99;
  expect(cache.claim('a', { leaseMs: 10 })).toEqual({ status: 'done' });
  time.now += 1;
  expect(cache.claim('a', { leaseMs: 10 })).toMatchObject({ status: 'claimed' });
});

test('remembers what is done for longer than SQS, which keeps messages for 14 days, redelivers', () => {
  const { cache, time } = cacheAt();
  done(cache, 'a');
  time.now += 15 * 86_400_000 - 1;
  expect(cache.claim('a', { leaseMs: 10 })).toEqual({ status: 'done' });
  time.now += 1;
  expect(cache.claim('a', { leaseMs: 10 })).toMatchObject({ status: 'claimed' });
});

test('a claim that was taken over no longer answers to its first token', () => {
  const { cache, time } = cacheAt();
  const first = cache.claim('a', { leaseMs: 10 });
  time.now += 10;
  const second = cache.claim('a', { leaseMs: 10 });
  if (first.status !== 'claimed' || second.status !== 'claimed') throw new Error('not claimed');
  expect(second.token.fence).not.toBe(first.token.fence);
  cache.release(first.token);
  expect(cache.extend(first.token, { leaseMs: 10 })).toBe(false);
  expect(cache.confirm(first.token)).toBe(false);
  expect(cache.claim('a', { leaseMs: 10 })).toEqual({ status: 'held' });
  expect(cache.confirm(second.token)).toBe(true);
});

test('an extension never shortens a lease', () => {
  const { cache, time } = cacheAt();
  const claim = cache.claim('a', { leaseMs: 100 });
  if (claim.status !== 'claimed') throw new Error('not claimed');
  expect(cache.extend(claim.token, { leaseMs: 10 })).toBe(true);
  time.now += 50;
  expect(cache.claim('a', { leaseMs: 10 })).toEqual({ status: 'held' });
});

test('refuses a lifetime or a bound of nothing', () => {
  expect(() => new MemoryDeduplicationCache({ ttlMs: 0 })).toThrow(/ttlMs must be above 0/);
  expect(() => new MemoryDeduplicationCache({ maxEntries: -1 })).toThrow(/maxEntries must be above 0/);
});

test.each([-3_600_000, 3_600_000])('a wall clock that steps by %d ms changes nothing', (stepMs) => {
  const { cache, time } = cacheAt({ ttlMs: 100 });
  done(cache, 'done');
  const claim = cache.claim('a', { leaseMs: 50 });
  if (claim.status !== 'claimed') throw new Error('not claimed');
  time.wall += stepMs;
  expect(cache.claim('done', { leaseMs: 10 })).toEqual({ status: 'done' });
  expect(cache.claim('a', { leaseMs: 10 })).toEqual({ status: 'held' });
  expect(cache.extend(claim.token, { leaseMs: 60 })).toBe(true);
  time.now += 60;
  expect(cache.claim('a', { leaseMs: 10 })).toMatchObject({ status: 'claimed' });
  time.now += 40;
  expect(cache.claim('done', { leaseMs: 10 })).toMatchObject({ status: 'claimed' });
});
