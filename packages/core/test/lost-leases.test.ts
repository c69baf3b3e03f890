import type { DeduplicationCache, MelangeError } from '@melange/core';
import { MemoryDeduplicationCache } from '@melange/dedup-memory';
import { describe, expect, test } from 'vitest';
import { CacheOutage } from '../src/dispatch/cache-outage.ts';
import { ClaimKeeper } from '../src/dispatch/claims.ts';
import { ManualClock, settled } from './support/manual-clock.ts';
import { consumer, start, succeed } from './support/processing.ts';

/** A cache that answers claims, and of the rest what a test says. */
function claimingOnly(clock: ManualClock, rest: Partial<DeduplicationCache>): DeduplicationCache {
  const cache = new MemoryDeduplicationCache({ clock });
  return {
    claim: (key, options) => cache.claim(key, options),
    extend: (token, options) => cache.extend(token, options),
    confirm: (token) => cache.confirm(token),
    release: (token) => cache.release(token),
    health: () => cache.health(),
    close: () => cache.close(),
    ...rest,
  };
}

describe('lost leases', () => {
  test('a lease that the cache refuses to renew at once is lost when it ends, not at a later renewal', async () => {
    const clock = new ManualClock();
    const failing = claimingOnly(clock, {
      extend: () => {
        throw new Error('connection refused');
      },
    });
    const signals: AbortSignal[] = [];
    const slow = consumer('a', (_, { signal }) => {
      signals.push(signal);
      return new Promise<void>(() => undefined);
    });
    // The one timer of all claims is set by the first: the second is claimed in the middle of its period.
    const claims = new ClaimKeeper(
      failing,
      clock,
      { leaseMs: 300 },
      new CacheOutage(
        clock,
        () => undefined,
        () => undefined,
      ),
    );
    start([slow], { message: { id: '1' }, rules: { claims } });
    await settled();
    await clock.advance(50);
    start([slow], { message: { id: '2' }, rules: { claims } });
    await settled();
    await clock.advance(249);
    expect(signals.map(({ aborted }) => aborted)).toEqual([false, false]);
    await clock.advance(1);
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, false]);
    await clock.advance(49);
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, false]);
    await clock.advance(1);
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, true]);
  });

  test('a handler that ends stops the renewal of its own claim, and of no other', async () => {
    const clock = new ManualClock();
    const cache = new MemoryDeduplicationCache({ clock });
    const claims = new ClaimKeeper(
      cache,
      clock,
      { leaseMs: 300 },
      new CacheOutage(
        clock,
        () => undefined,
        () => undefined,
      ),
    );
    const runs = new Map<string, { readonly signal: AbortSignal; finish(): void }>();
    const slow = consumer(
      'a',
      (_, { messageId, signal }) =>
        new Promise<void>((finish) => void runs.set(messageId, { signal, finish })),
    );
    const observed = ['1', '2', '3'].map((id) => start([slow], { message: { id }, rules: { claims } }));
    await settled();
    await clock.advance(50);
    runs.get('2')?.finish();
    expect(await observed[1]?.outcome).toMatchObject({ kind: 'acknowledge' });
    await clock.advance(5_000);
    for (const id of ['1', '3']) {
      expect(runs.get(id)?.signal.aborted).toBe(false);
      expect(cache.claim(`orders:a:${id}`, { leaseMs: 1 })).toMatchObject({ status: 'held' });
      runs.get(id)?.finish();
    }
    for (const { outcome } of observed) expect(await outcome).toMatchObject({ kind: 'acknowledge' });
    expect(clock.pending).toBe(0);
  });

  test('a renewed lease counts from when it was asked for, not from the answer', async () => {
    const clock = new ManualClock();
    let extensions = 0;
    // The first renewal is answered late, the second never.
    const failing = claimingOnly(clock, {
      extend: () => {
        extensions += 1;
        if (extensions > 1) return new Promise(() => undefined);
        return new Promise((resolve) => clock.schedule(() => resolve(true), 90));
      },
    });
    let signal: AbortSignal | undefined;
    const slow = consumer('a', (_, context) => {
      signal = context.signal;
      return new Promise<void>(() => undefined);
    });
    start([slow], { cache: failing, clock, deduplication: { leaseMs: 300 } });
    await settled();
    // Asked for after a third of the lease.
    await clock.advance(100 + 299);
    expect(signal?.aborted).toBe(false);
    await clock.advance(1);
    expect(signal?.reason).toMatchObject({ reason: 'lease-lost' });
  });

  test('a lease that ended is lost without asking a cache that hangs', async () => {
    const clock = new ManualClock();
    const failing = claimingOnly(clock, { extend: () => new Promise(() => undefined) });
    let signal: AbortSignal | undefined;
    const slow = consumer('a', (_, context) => {
      signal = context.signal;
      return new Promise<void>(() => undefined);
    });
    start([slow], { cache: failing, clock, deduplication: { leaseMs: 300, timeoutMs: 10 } });
    await settled();
    await clock.advance(300);
    expect(signal?.reason).toMatchObject({ reason: 'lease-lost' });
  });

  test('a loss is reported also where the confirm fails after it; the work that is done is not done again', async () => {
    const clock = new ManualClock();
    let finish = (): void => undefined;
    const slow = consumer(
      'a',
      () =>
        new Promise<void>((resolve) => {
          finish = resolve;
        }),
    );
    const away = claimingOnly(clock, {
      extend: () => false,
      confirm: () => {
        throw new Error('connection refused');
      },
    });
    const observed = start([slow], { cache: away, clock, deduplication: { leaseMs: 300 } });
    await settled();
    await clock.advance(100);
    finish();
    expect(await observed.outcome).toMatchObject({ kind: 'acknowledge' });
    expect(observed.reports.map(({ error }) => (error as MelangeError).code)).toEqual([
      'DELIVERY_ABORTED',
      'CACHE_UNAVAILABLE',
    ]);
  });

  test('a message whose successor is done is acknowledged when it comes again, whatever its late handler did', async () => {
    const clock = new ManualClock();
    const cache = new MemoryDeduplicationCache({ clock });
    const finishing: (() => void)[] = [];
    const slow = consumer('a', () => new Promise<void>((resolve) => void finishing.push(resolve)));
    // The first worker's renewals do not arrive; the second worker's do.
    const cutOff: DeduplicationCache = {
      claim: (key, options) => cache.claim(key, options),
      extend: () => new Promise(() => undefined),
      confirm: (token) => cache.confirm(token),
      release: (token) => cache.release(token),
      health: () => cache.health(),
      close: () => cache.close(),
    };
    const first = start([slow], { cache: cutOff, clock, deduplication: { leaseMs: 300 } });
    await settled();
    await clock.advance(300);
    const second = start([slow], { cache, clock, deduplication: { leaseMs: 300 }, attempt: 2 });
    await settled();
    expect(slow.runs).toBe(2);
    finishing[0]?.();
    expect(await first.outcome).toMatchObject({ kind: 'retry' });
    await clock.advance(1_000);
    finishing[1]?.();
    expect(await second.outcome).toMatchObject({ kind: 'acknowledge', because: 'processed' });
    const third = start([slow], { cache, clock, attempt: 3 });
    expect(await third.outcome).toMatchObject({ kind: 'acknowledge', because: 'processed' });
    expect(third.duplicates).toEqual(['a']);
    expect(slow.runs).toBe(2);
  });

  test('of several consumers, those after the running one do not begin when the delivery is lost', async () => {
    let finish = (): void => undefined;
    const first = consumer(
      'first',
      () =>
        new Promise<void>((resolve) => {
          finish = resolve;
        }),
    );
    const second = succeed('second');
    const observed = start([first, second]);
    await settled();
    observed.delivery.controller.abort();
    finish();
    expect(await observed.outcome).toEqual({ kind: 'release' });
    expect([first.runs, second.runs]).toEqual([1, 0]);
  });
});
