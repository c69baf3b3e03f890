import assert from 'node:assert/strict';
import { type Claim, type ClaimToken, type DeduplicationCache, MelangeError } from '@melange/core';
import { behaviours } from '../behaviour.ts';
import type { CacheBehaviour, CacheContext } from './cache-context.ts';

/** More keys than a small cache has room for. */
const flood = 50_000;
const atOnce = 100;
/** No lease ends while the flood lasts. */
const leaseMs = 600_000;

const requires = ({ subject }: CacheContext): string | undefined =>
  subject.small === undefined ? 'its memory is bounded elsewhere' : undefined;

/** What a cache promises when its memory is used up. */
export const memoryBound: readonly CacheBehaviour[] = behaviours<CacheContext>('memory', [
  {
    id: 'full-of-claims',
    title: 'a cache full of live claims refuses further ones, forgets none, and settles those that it has',
    requires,
    async run(context) {
      const cache = await context.small();
      const tokens: ClaimToken[] = [];
      const refusal = await fill(context, cache, (token) => void tokens.push(token));
      assert.ok(
        MelangeError.is(refusal, 'CACHE_UNAVAILABLE'),
        `it grows for ever, or fails with: ${refusal}`,
      );
      for (const { key } of tokens.slice(0, atOnce)) {
        assert.equal((await cache.claim(key, { leaseMs })).status, 'held', `"${key}" was forgotten`);
      }
      const [first, second] = tokens;
      assert.ok(first !== undefined && second !== undefined);
      assert.equal(await cache.extend(first, { leaseMs }), true);
      assert.equal(await cache.confirm(second), true);
      // At once: done lasts for no longer than a busy machine takes to release them all.
      assert.equal((await cache.claim(second.key, { leaseMs })).status, 'done');
      await Promise.all(tokens.map(async (token) => cache.release(token)));
      assert.equal((await cache.claim(context.key(), { leaseMs })).status, 'claimed');
    },
  },
  {
    id: 'full-of-done',
    title: 'a cache full of done keys refuses claims or forgets done keys, never a live claim',
    requires,
    async run(context) {
      const cache = await context.small();
      const live = context.key();
      assert.equal((await cache.claim(live, { leaseMs })).status, 'claimed');
      const done: string[] = [];
      const refusal = await fill(context, cache, async (token) => {
        if (await cache.confirm(token)) done.push(token.key);
      });
      assert.equal((await cache.claim(live, { leaseMs })).status, 'held', 'a live claim was forgotten');
      if (refusal !== undefined) {
        assert.ok(MelangeError.is(refusal, 'CACHE_UNAVAILABLE'), String(refusal));
        return;
      }
      const oldest = await cache.claim(done[0] as string, { leaseMs });
      assert.equal(oldest.status, 'claimed', 'it grows for ever: nothing was refused, nothing forgotten');
    },
  },
]);

/** Claims keys until one is refused, and answers with the refusal; `undefined` when all were granted. */
async function fill(
  context: CacheContext,
  cache: DeduplicationCache,
  use: (token: ClaimToken) => void | Promise<void>,
): Promise<unknown> {
  for (let claimed = 0; claimed < flood; claimed += atOnce) {
    const outcomes = await Promise.allSettled(
      Array.from({ length: atOnce }, async (): Promise<Claim> => cache.claim(context.key(), { leaseMs })),
    );
    await Promise.all(
      outcomes.map(async (outcome) => {
        if (outcome.status === 'fulfilled' && outcome.value.status === 'claimed')
          await use(outcome.value.token);
      }),
    );
    const refused = outcomes.find((outcome) => outcome.status === 'rejected');
    if (refused !== undefined) return refused.reason;
  }
  return undefined;
}
