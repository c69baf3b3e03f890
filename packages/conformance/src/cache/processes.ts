import assert from 'node:assert/strict';
import type { ClaimToken } from '@melange/core';
import { behaviours } from '../behaviour.ts';
import { type CacheBehaviour, type CacheContext, longLeaseMs } from './cache-context.ts';
import type { ClaimProcess } from './claim-process.ts';

const processes = 8;
const claimersEach = 8;
/** Long enough for several answers of other processes on a busy machine, and for one of them to die. */
const leaseMs = 3_000;
const hourMs = 3_600_000;

const requires = ({ subject }: CacheContext): string | undefined =>
  subject.startProcess === undefined ? 'the store is not shared between processes' : undefined;

/** What a cache promises that several processes share. */
export const acrossProcesses: readonly CacheBehaviour[] = behaviours<CacheContext>('processes', [
  {
    id: 'one-winner',
    title:
      'of 64 claimers in 8 processes that race for a key one is told that it is theirs, a thousand times',
    timeoutMs: 120_000,
    requires,
    async run(context) {
      const racers = await Promise.all(Array.from({ length: processes }, () => context.process()));
      for (let round = 0; round < context.races; round += 1) {
        const key = context.key();
        const won = await Promise.all(racers.map((racer) => racer.race(key, claimersEach, longLeaseMs)));
        const winners = won.reduce((sum, count) => sum + count, 0);
        assert.equal(winners, 1, `${winners} of 64 won in round ${round}`);
      }
    },
  },
  {
    id: 'killed-holder',
    title: 'the claim of a process that was killed is held until its lease ends, then anybody’s',
    requires,
    async run(context) {
      const key = context.key();
      const holder = await context.process();
      await claimed(holder, key, leaseMs);
      await holder.kill();
      assert.equal(await context.status(key), 'held');
      await context.elapse(leaseMs + 20);
      assert.equal(await context.status(key), 'claimed');
    },
  },
  {
    id: 'late-confirm',
    title:
      'a process that was overtaken neither confirms, extends nor releases; the one that overtook it does',
    requires,
    async run(context) {
      const [late, current] = await Promise.all([context.process(), context.process()]);
      const key = context.key();
      const old = await claimed(late, key, 50);
      await context.elapse(80);
      const token = await claimed(current, key, longLeaseMs);
      assert.equal(await late.extend(old, leaseMs), false);
      await late.release(old);
      assert.equal(await late.confirm(old), false);
      assert.equal((await late.claim(key, leaseMs)).status, 'held');
      assert.equal(await current.confirm(token), true);
      assert.equal((await late.claim(key, leaseMs)).status, 'done');
    },
  },
  {
    id: 'clock-skew',
    title:
      'clocks that are an hour wrong change nothing: no claim is lost or prolonged, nothing done forgotten',
    requires,
    async run(context) {
      const skewed = await Promise.all([-hourMs, 0, hourMs].map((skew) => context.process(skew)));
      const keys = skewed.map(() => context.key());
      await Promise.all(
        skewed.map(async (holder, index) => {
          const key = keys[index] as string;
          await claimed(holder, key, leaseMs);
          for (const other of skewed) assert.equal((await other.claim(key, leaseMs)).status, 'held');
        }),
      );
      await context.elapse(leaseMs + 20);
      for (const [index, holder] of skewed.entries()) {
        const key = keys[index] as string;
        for (const other of skewed) await other.release(await claimed(other, key, longLeaseMs));
        const token = await claimed(holder, key, longLeaseMs);
        assert.equal(await holder.confirm(token), true);
        for (const other of skewed) assert.equal((await other.claim(key, leaseMs)).status, 'done');
      }
    },
  },
]);

async function claimed(process: ClaimProcess, key: string, milliseconds: number): Promise<ClaimToken> {
  const claim = await process.claim(key, milliseconds);
  assert.equal(claim.status, 'claimed', `"${key}" should be free`);
  return (claim as { readonly token: ClaimToken }).token;
}
