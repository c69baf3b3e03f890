import { type Claim, type DeduplicationCache, type MelangeError, Reject } from '@melange/core';
import { MemoryDeduplicationCache } from '@melange/dedup-memory';
import { describe, expect, test } from 'vitest';
import { ManualClock, settled } from './support/manual-clock.ts';
import { consumer, start, succeed } from './support/processing.ts';

describe('claims', () => {
  test('a lost lease aborts the signal, and the late result is neither confirmed nor acknowledged', async () => {
    const clock = new ManualClock();
    const cache = new MemoryDeduplicationCache({ clock });
    let finish = (): void => undefined;
    let signal: AbortSignal | undefined;
    const slow = consumer('a', (_, context) => {
      signal = context.signal;
      return new Promise<void>((resolve) => {
        finish = resolve;
      });
    });
    const frozen: DeduplicationCache = {
      claim: (key, options) => cache.claim(key, options),
      extend: () => false,
      confirm: (token) => cache.confirm(token),
      release: (token) => cache.release(token),
      health: () => cache.health(),
      close: () => cache.close(),
    };
    const observed = start([slow], { cache: frozen, clock, deduplication: { leaseMs: 300 } });
    await settled();
    await clock.advance(301);
    expect(signal?.reason).toMatchObject({ code: 'DELIVERY_ABORTED', reason: 'lease-lost' });
    expect(await cache.claim('orders:a:message-1', { leaseMs: 10_000 })).toMatchObject({ status: 'claimed' });
    finish();
    expect(await observed.outcome).toMatchObject({ kind: 'retry' });
    expect(await cache.claim('orders:a:message-1', { leaseMs: 1 })).toEqual({ status: 'held' });
  });

  test('a handler that fails after its lease was lost decides nothing, and both errors are reported', async () => {
    const clock = new ManualClock();
    const cache = new MemoryDeduplicationCache({ clock });
    const late = consumer('a', (_, { signal }) => {
      return new Promise<void>((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(new Reject('too late')));
      });
    });
    const frozen: DeduplicationCache = {
      claim: (key, options) => cache.claim(key, options),
      extend: () => false,
      confirm: (token) => cache.confirm(token),
      release: (token) => cache.release(token),
      health: () => cache.health(),
      close: () => cache.close(),
    };
    const observed = start([late], { cache: frozen, clock, deduplication: { leaseMs: 300 } });
    await settled();
    await clock.advance(301);
    expect(await observed.outcome).toMatchObject({ kind: 'retry' });
    expect(observed.reports.map(({ error }) => (error as MelangeError).code)).toEqual([
      'REJECTED',
      'DELIVERY_ABORTED',
    ]);
  });

  test('the lease is renewed while the handler runs', async () => {
    const clock = new ManualClock();
    const cache = new MemoryDeduplicationCache({ clock });
    let finish = (): void => undefined;
    const slow = consumer(
      'a',
      () =>
        new Promise<void>((resolve) => {
          finish = resolve;
        }),
    );
    const observed = start([slow], { cache, clock, deduplication: { leaseMs: 300 } });
    await settled();
    await clock.advance(5_000);
    expect(await cache.claim('orders:a:message-1', { leaseMs: 1 })).toEqual({ status: 'held' });
    finish();
    expect(await observed.outcome).toMatchObject({ kind: 'acknowledge' });
    expect(await cache.claim('orders:a:message-1', { leaseMs: 1 })).toEqual({ status: 'done' });
    expect(clock.pending).toBe(0);
  });

  const hanging: DeduplicationCache = {
    claim: () => new Promise(() => undefined),
    extend: () => true,
    confirm: () => true,
    release: () => undefined,
    health: () => ({ status: 'unhealthy', detail: 'hangs' }),
    close: () => undefined,
  };

  test('a lease that cannot be renewed is lost when it ends, counted from when it was asked for', async () => {
    const clock = new ManualClock();
    let answer = (_claim: Claim): void => undefined;
    const failing: DeduplicationCache = {
      ...hanging,
      claim: () =>
        new Promise((resolve) => {
          answer = resolve;
        }),
      extend: () => new Promise(() => undefined),
    };
    let signal: AbortSignal | undefined;
    const slow = consumer('a', (_, context) => {
      signal = context.signal;
      return new Promise<void>((_resolve, reject) => {
        signal?.addEventListener('abort', () => reject(signal?.reason));
      });
    });
    const observed = start([slow], { cache: failing, clock, deduplication: { leaseMs: 300 } });
    await settled();
    await clock.advance(100);
    answer({ status: 'claimed', token: { key: 'orders:a:message-1', fence: '1' } });
    await settled();
    await clock.advance(199);
    expect(signal?.aborted).toBe(false);
    await clock.advance(1);
    expect(signal?.reason).toMatchObject({ reason: 'lease-lost' });
    expect(await observed.outcome).toMatchObject({ kind: 'retry' });
    expect(clock.pending).toBe(0);
  });

  test('a claim that is answered too late is released: nobody works under it', async () => {
    const clock = new ManualClock();
    const cache = new MemoryDeduplicationCache({ clock });
    const late: DeduplicationCache = {
      ...hanging,
      claim: (key, options) =>
        new Promise((resolve) => {
          const claim = cache.claim(key, options);
          clock.schedule(() => resolve(claim), 6_000);
        }),
      release: (token) => cache.release(token),
    };
    const observed = start([succeed('a')], { cache: late, clock });
    await settled();
    await clock.advance(5_000);
    observed.work.endWait?.();
    expect(await observed.outcome).toEqual({ kind: 'release' });
    expect(await cache.claim('orders:a:message-1', { leaseMs: 1_000 })).toEqual({ status: 'held' });
    await clock.advance(1_000);
    expect(await cache.claim('orders:a:message-1', { leaseMs: 1_000 })).toMatchObject({ status: 'claimed' });
  });

  test('a consumer with a deduplicationName can be renamed without doing its work again', async () => {
    const cache = new MemoryDeduplicationCache();
    const runs: string[] = [];
    const named = (name: string, deduplicationName?: string) => ({
      name,
      ...(deduplicationName !== undefined && { deduplicationName }),
      accepts: () => true,
      process: () => void runs.push(name),
    });
    const done = { kind: 'acknowledge', because: 'processed' };
    expect(await start([named('billing', 'money')], { cache }).outcome).toEqual(done);
    const renamed = start([named('invoicing', 'money')], { cache });
    expect(await renamed.outcome).toEqual(done);
    expect(renamed.duplicates).toEqual(['invoicing']);
    // Without one, the new name is that of a consumer which has not seen the message.
    expect(await start([named('invoicing')], { cache }).outcome).toEqual(done);
    expect(runs).toEqual(['billing', 'invoicing']);
  });

  test('a consumer that never had a deduplicationName keeps its keys under a new name with "<queue>:<old name>"', async () => {
    const cache = new MemoryDeduplicationCache();
    await start([succeed('billing')], { cache }).outcome;
    const renamed = { ...succeed('invoicing'), deduplicationName: 'orders:billing' };
    const observed = start([renamed], { cache });
    expect(await observed.outcome).toEqual({ kind: 'acknowledge', because: 'processed' });
    expect(observed.duplicates).toEqual(['invoicing']);
  });

  test('consumers do not meet in the cache, whatever colons their names and the ids have', async () => {
    const clock = new ManualClock();
    const cache = new MemoryDeduplicationCache({ clock });
    const names = ['a', 'a:b', 'a%3Ab', 'a:'];
    const ids = ['c', 'b:c', ':c'];
    for (const name of names) {
      for (const id of ids) {
        const ran = succeed(name);
        await start([ran], { cache, clock, message: { id } }).outcome;
        expect(ran.runs, `"${name}" on "${id}"`).toBe(1);
      }
    }
    expect(cache.claim('orders:a:c', { leaseMs: 1 })).toEqual({ status: 'done' });
  });
});
