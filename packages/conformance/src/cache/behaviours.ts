import assert from 'node:assert/strict';
import type { Claim, ClaimToken } from '@melange/core';
import { behaviours } from '../behaviour.ts';
import { type CacheBehaviour, type CacheContext, leaseMs, longLeaseMs, ttlMs } from './cache-context.ts';
import { clockSteps } from './clock-steps.ts';
import { keys } from './keys.ts';
import { memoryBound } from './memory-bound.ts';
import { acrossProcesses } from './processes.ts';

const claims: readonly CacheBehaviour[] = behaviours<CacheContext>('claim', [
  {
    id: 'free',
    title: 'a free key is claimed, with a token that names it',
    async run(context) {
      const key = context.key();
      assert.equal((await context.claimed(key)).key, key);
    },
  },
  {
    id: 'held',
    title: 'a claimed key is held for everybody else',
    async run(context) {
      const key = context.key();
      await context.claimed(key);
      assert.equal(await context.status(key), 'held');
      await context.elapse(leaseMs / 4);
      assert.equal(await context.status(key), 'held');
    },
  },
  {
    id: 'one-winner',
    title: 'of 64 that race for a key one is told that it is theirs, a thousand times',
    timeoutMs: 120_000,
    async run(context) {
      for (let round = 0; round < context.races; round += 1) {
        const key = context.key();
        const winners = claimedAmong(await race(context, key));
        assert.equal(winners, 1, `${winners} of 64 won in round ${round}`);
      }
    },
  },
  {
    id: 'one-successor',
    title: 'of 64 that race for an expired claim one takes it over',
    async run(context) {
      const key = context.key();
      await context.claimed(key, 50);
      await context.elapse(60);
      assert.equal(claimedAmong(await race(context, key)), 1);
    },
  },
  {
    id: 'shared-store',
    title: 'two caches on one store exclude each other and share what is done',
    requires: ({ subject }) =>
      subject.another === undefined ? 'the store lives and dies with the cache' : undefined,
    async run(context) {
      const other = await context.subject.another?.();
      assert.ok(other !== undefined);
      context.opened.push(other);
      const key = context.key();
      const token = await context.claimed(key);
      assert.equal((await other.claim(key, { leaseMs })).status, 'held');
      assert.equal(await context.cache.confirm(token), true);
      assert.equal((await other.claim(key, { leaseMs })).status, 'done');
    },
  },
]);

const confirms: readonly CacheBehaviour[] = behaviours<CacheContext>('confirm', [
  {
    id: 'done',
    title: 'a confirmed key is done',
    async run(context) {
      const key = context.key();
      assert.equal(await context.cache.confirm(await context.claimed(key)), true);
      assert.equal(await context.status(key), 'done');
    },
  },
  {
    id: 'crash-before-confirm',
    title: 'a crash between claim and confirm leaves nothing done: claimable after the lease',
    async run(context) {
      const key = context.key();
      await context.claimed(key, leaseMs);
      await context.elapse(leaseMs + 20);
      assert.equal(await context.status(key), 'claimed');
    },
  },
  {
    id: 'late-after-takeover',
    title: 'a late confirm after a takeover is refused and changes nothing',
    async run(context) {
      const { key, old, current } = await takeover(context);
      assert.equal(await context.cache.confirm(old), false);
      assert.equal(await context.status(key), 'held');
      assert.equal(await context.cache.confirm(current), true);
      assert.equal(await context.status(key), 'done');
    },
  },
  {
    id: 'late-without-takeover',
    title: 'a confirm after the lease tells the truth: done when accepted, claimable when refused',
    async run(context) {
      const key = context.key();
      const token = await context.claimed(key, leaseMs);
      await context.elapse(leaseMs + 20);
      const accepted = await context.cache.confirm(token);
      assert.equal(await context.status(key), accepted ? 'done' : 'claimed');
    },
  },
  {
    id: 'outlives-the-lease',
    title: 'done lasts beyond the lease of the claim',
    async run(context) {
      const key = context.key();
      assert.equal(await context.cache.confirm(await context.claimed(key, leaseMs)), true);
      await context.elapse(leaseMs + 20);
      assert.equal(await context.status(key), 'done');
    },
  },
  {
    id: 'never-shortened',
    title: 'done is shortened by nothing: not by claims, nor by late calls with the old token',
    async run(context) {
      const key = context.key();
      const token = await context.claimed(key);
      assert.equal(await context.cache.confirm(token), true);
      assert.equal((await context.cache.claim(key, { leaseMs: 20 })).status, 'done');
      assert.equal(await context.cache.extend(token, { leaseMs: 20 }), false);
      await context.cache.release(token);
      await context.cache.confirm(token);
      await context.elapse(ttlMs / 4);
      assert.equal(await context.status(key), 'done');
    },
  },
  {
    id: 'forgotten-after-ttl',
    title: 'done is forgotten after the ttl',
    async run(context) {
      const key = context.key();
      await context.cache.confirm(await context.claimed(key));
      await context.elapse(ttlMs + 50);
      assert.equal(await context.status(key), 'claimed');
    },
  },
]);

const leases: readonly CacheBehaviour[] = behaviours<CacheContext>('lease', [
  {
    id: 'release',
    title: 'a released key is claimable at once',
    async run(context) {
      const key = context.key();
      await context.cache.release(await context.claimed(key));
      assert.equal(await context.status(key), 'claimed');
    },
  },
  {
    id: 'fences-differ',
    title: 'every claim of a key has a fence of its own',
    async run(context) {
      const key = context.key();
      const fences = new Set<string>();
      for (let round = 0; round < 20; round += 1) {
        const token = await context.claimed(key);
        fences.add(token.fence);
        await context.cache.release(token);
      }
      assert.equal(fences.size, 20);
    },
  },
  {
    id: 'late-release',
    title: 'a late release after a takeover changes nothing',
    async run(context) {
      const { key, old, current } = await takeover(context);
      await context.cache.release(old);
      assert.equal(await context.status(key), 'held');
      assert.equal(await context.cache.confirm(current), true);
    },
  },
  {
    id: 'late-extend',
    title: 'a late extend after a takeover is refused and changes nothing',
    async run(context) {
      const { key, old } = await takeover(context, leaseMs);
      assert.equal(await context.cache.extend(old, { leaseMs: ttlMs }), false);
      await context.elapse(leaseMs + 20);
      assert.equal(await context.status(key), 'claimed');
    },
  },
  {
    id: 'extend',
    title: 'extending prolongs the claim from now on',
    async run(context) {
      const key = context.key();
      // Long enough that a busy machine is through with it before it ends.
      const longerMs = 5 * leaseMs;
      const token = await context.claimed(key, longerMs);
      await context.elapse(longerMs / 2);
      assert.equal(await context.cache.extend(token, { leaseMs: longerMs }), true);
      await context.elapse(longerMs * 0.6);
      assert.equal(await context.status(key), 'held');
      assert.equal(await context.cache.confirm(token), true);
    },
  },
  {
    id: 'extended-lease-ends',
    title: 'an extended claim ends too',
    async run(context) {
      const key = context.key();
      const token = await context.claimed(key, leaseMs);
      await context.cache.extend(token, { leaseMs });
      await context.elapse(leaseMs + 20);
      assert.equal(await context.status(key), 'claimed');
    },
  },
  {
    id: 'released-token-is-spent',
    title: 'a token that was released neither confirms nor extends',
    async run(context) {
      const key = context.key();
      const token = await context.claimed(key);
      await context.cache.release(token);
      assert.equal(await context.cache.confirm(token), false);
      assert.equal(await context.cache.extend(token, { leaseMs }), false);
      assert.equal(await context.status(key), 'claimed');
    },
  },
]);

const life: readonly CacheBehaviour[] = behaviours<CacheContext>('life', [
  {
    id: 'healthy',
    title: 'a cache that works is healthy',
    async run({ cache }) {
      assert.equal((await cache.health()).status, 'healthy');
    },
  },
  {
    id: 'close-is-idempotent',
    title: 'closing twice is the same as once',
    async run(context) {
      await context.claimed(context.key());
      await context.cache.close();
      await context.cache.close();
    },
  },
]);

/** All that a deduplication cache must do. */
export const cacheBehaviours: readonly CacheBehaviour[] = [
  ...claims,
  ...keys,
  ...confirms,
  ...leases,
  ...clockSteps,
  ...acrossProcesses,
  ...memoryBound,
  ...life,
];

/** Two claims of one key, the second after the lease of the first ended. */
async function takeover(
  context: CacheContext,
  currentLeaseMs: number = longLeaseMs,
): Promise<{ readonly key: string; readonly old: ClaimToken; readonly current: ClaimToken }> {
  const key = context.key();
  const old = await context.claimed(key, 50);
  await context.elapse(60);
  return { key, old, current: await context.claimed(key, currentLeaseMs) };
}

function race(context: CacheContext, key: string): Promise<Claim[]> {
  return Promise.all(
    Array.from({ length: 64 }, async () => context.cache.claim(key, { leaseMs: longLeaseMs })),
  );
}

function claimedAmong(answers: readonly Claim[]): number {
  return answers.filter((answer) => answer.status === 'claimed').length;
}
