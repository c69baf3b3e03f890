import { runInNewContext } from 'node:vm';
import type { DeduplicationCache } from '@melange/core';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { CacheOutage } from '../src/dispatch/cache-outage.ts';
import { AwayCache } from './support/away-cache.ts';
import { ManualClock, settled } from './support/manual-clock.ts';
import { consumer as consumerOf, start, succeed } from './support/processing.ts';

let clock: ManualClock;
beforeEach(() => {
  clock = new ManualClock();
});

const hangs: Pick<DeduplicationCache, 'claim'> = { claim: () => new Promise(() => undefined) };

describe('a message that meets a cache that does not answer', () => {
  test.each([
    ['hangs', hangs.claim],
    ['answers with a promise of another realm', () => runInNewContext('new Promise(() => undefined)')],
  ])('waits, the cache given up after its timeout when it %s', async (_, claim) => {
    const cache = Object.assign(new AwayCache(clock), { claim });
    const waiting = succeed('a');
    const observed = start([waiting], { cache, clock, attempt: 99 });
    const outcome = vi.fn();
    observed.outcome.then(outcome);
    await settled();
    await clock.advance(4_999);
    expect(observed.outages).toEqual([]);
    await clock.advance(1);
    expect(observed.outages).toMatchObject([{ error: { code: 'CACHE_UNAVAILABLE' } }]);
    expect(observed.unclaimed).toMatchObject([{ code: 'CACHE_UNAVAILABLE' }]);
    await clock.advance(3_600_000);
    expect(outcome).not.toHaveBeenCalled();
    expect(waiting.runs).toBe(0);
    expect(observed.outages).toHaveLength(1);
  });

  test('runs as soon as the cache answers again, which is asked with growing pauses', async () => {
    const cache = new AwayCache(clock);
    const waiting = succeed('a');
    const observed = start([waiting], { cache, clock });
    await settled();
    const asked: number[] = [];
    for (const byMs of [99, 1, 199, 1, 399, 1, 10_000]) {
      await clock.advance(byMs);
      asked.push(cache.claims);
    }
    expect(asked.slice(0, 6)).toEqual([1, 2, 2, 3, 3, 4]);
    await clock.advance(60_000);
    const before = cache.claims;
    await clock.advance(10_000);
    expect(cache.claims - before).toBe(2);
    cache.isAway = false;
    await clock.advance(5_000);
    expect(await observed.outcome).toEqual({ kind: 'acknowledge', because: 'processed' });
    expect(waiting.runs).toBe(1);
    expect(observed.outages).toEqual([{ error: expect.anything() }, { afterMs: expect.any(Number) }]);
    expect(observed.reports).toEqual([]);
    expect(clock.pending).toBe(0);
  });

  test("with onUnavailable 'process' it runs without a claim, and says so", async () => {
    const cache = new AwayCache(clock);
    const deduplication = { onUnavailable: 'process' } as const;
    const unclaimed = succeed('a');
    const observed = start([unclaimed], { cache, clock, deduplication });
    expect(await observed.outcome).toMatchObject({ kind: 'acknowledge' });
    expect(unclaimed.runs).toBe(1);
    expect(observed.unclaimed).toMatchObject([{ code: 'CACHE_UNAVAILABLE' }]);
    expect(observed.reports).toEqual([]);
  });

  test('goes back to the broker when its wait is ended', async () => {
    const observed = start([succeed('a')], { cache: new AwayCache(clock), clock });
    await settled();
    observed.work.endWait?.();
    expect(await observed.outcome).toEqual({ kind: 'release' });
  });

  test('waits no longer when its delivery is lost: it comes again', async () => {
    const observed = start([succeed('a')], { cache: new AwayCache(clock), clock });
    await settled();
    observed.delivery.controller.abort();
    expect(await observed.outcome).toEqual({ kind: 'release' });
    const lost = start([succeed('a')], { cache: new AwayCache(clock), clock });
    lost.delivery.controller.abort();
    expect(await lost.outcome).toEqual({ kind: 'release' });
  });

  test('a run whose claim could not be renewed is no attempt; one whose claim another took is', async () => {
    const outcomeOf = async (extend: DeduplicationCache['extend']) => {
      const cache = new AwayCache(clock);
      cache.isAway = false;
      const slow = consumerOf(
        'a',
        (_, { signal }) =>
          new Promise<void>((_resolve, reject) =>
            signal.addEventListener('abort', () => reject(signal.reason)),
          ),
      );
      const deduplication = { leaseMs: 300 };
      const observed = start([slow], {
        cache: Object.assign(cache, { extend }),
        clock,
        deduplication,
        attempt: 3,
      });
      await settled();
      await clock.advance(300);
      return observed.outcome;
    };
    const unanswered = () => {
      throw new Error('connection refused');
    };
    expect(await outcomeOf(unanswered)).toMatchObject({ kind: 'retry', because: 'not-run' });
    expect(await outcomeOf(() => false)).toMatchObject({ kind: 'dead-letter', reason: 'attempts exhausted' });
  });
});

describe('the health of a cache that did not answer', () => {
  const away = (): CacheOutage => {
    const outage = new CacheOutage(
      clock,
      () => undefined,
      () => undefined,
    );
    outage.failed(new Error('connection refused'));
    return outage;
  };

  test('is degraded at once, unhealthy after half a minute, and healthy when nobody has asked it for a minute', async () => {
    const outage = away();
    expect(outage.health()).toMatchObject({ status: 'degraded' });
    await clock.advance(30_000);
    expect(outage.health()).toMatchObject({ status: 'unhealthy' });
    await clock.advance(29_999);
    expect(outage.health()).toMatchObject({ status: 'unhealthy' });
    await clock.advance(1);
    expect(outage.health()).toEqual({ status: 'healthy' });
  });

  test('stays unhealthy for as long as it is asked and does not answer', async () => {
    const outage = away();
    for (let asked = 0; asked < 5; asked += 1) {
      await clock.advance(59_000);
      outage.failed(new Error('connection refused'));
      expect(outage.health()).toMatchObject({ status: 'unhealthy' });
    }
  });
});
