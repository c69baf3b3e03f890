import assert from 'node:assert/strict';
import { behaviours } from '../behaviour.ts';
import { type CacheBehaviour, type CacheContext, leaseMs } from './cache-context.ts';

const dayMs = 86_400_000;

/** The time of the machine is set while claims are held. */
export const clockSteps: readonly CacheBehaviour[] = behaviours<CacheContext>('lease', [
  {
    id: 'clock-steps',
    title: 'a claim ends with its lease, and done lasts, though the time of the machine is set meanwhile',
    async run(context) {
      const [ends, done, lasts] = [context.key(), context.key(), context.key()];
      await context.claimed(lasts);
      assert.equal(await context.cache.confirm(await context.claimed(done)), true);
      await atTime(20 * dayMs, async () => {
        assert.equal(await context.status(lasts), 'held', 'twenty days later');
        assert.equal(await context.status(done), 'done', 'twenty days later');
        await context.claimed(ends, leaseMs);
      });
      await atTime(-20 * dayMs, async () => {
        assert.equal(await context.status(lasts), 'held', 'twenty days earlier');
        assert.equal(await context.status(done), 'done', 'twenty days earlier');
        await context.elapse(leaseMs + 20);
        assert.equal(await context.status(ends), 'claimed', 'twenty days earlier');
      });
    },
  },
]);

/** Runs it with the time of this process set by so many ms. */
async function atTime(stepMs: number, run: () => Promise<void>): Promise<void> {
  const rightNow = Date.now;
  Date.now = () => rightNow() + stepMs;
  try {
    await run();
  } finally {
    Date.now = rightNow;
  }
}
