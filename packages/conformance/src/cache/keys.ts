import assert from 'node:assert/strict';
import { deduplicationKey } from '@melange/core/adapter';
import { behaviours } from '../behaviour.ts';
import type { CacheBehaviour, CacheContext } from './cache-context.ts';

/** What is one key, and what are two. */
export const keys: readonly CacheBehaviour[] = behaviours<CacheContext>('claim', [
  {
    id: 'independent',
    title: 'keys are independent, whatever characters they have',
    async run(context) {
      const keys = ['', ' ', ':', '*', '🐎', '\n', 'a'.repeat(500), '__proto__'].map((suffix) =>
        context.key(suffix),
      );
      for (const key of keys) {
        const token = await context.claimed(key);
        assert.equal(await context.cache.confirm(token), true);
      }
      for (const key of keys) assert.equal(await context.status(key), 'done');
      assert.equal(await context.status(context.key()), 'claimed');
    },
  },
  {
    id: 'one-key-for-each-worker',
    title:
      'a message that two queues, or two consumers, have is done by each of them; names with colons never meet',
    async run(context) {
      const id = context.key('message:1');
      const workers: readonly (readonly [queue: string, name: string])[] = [
        ['billing', 'consumer'],
        ['shipping', 'consumer'],
        ['billing', 'another'],
        ['billing:consumer', 'consumer'],
        ['billing', 'consumer:consumer'],
        ['billing%3Aconsumer', 'consumer'],
      ];
      for (const [queue, name] of workers) {
        const key = deduplicationKey(queue, { name }, id);
        assert.equal(await context.status(key), 'claimed', `${queue}, ${name}`);
        assert.equal(await context.cache.confirm(await context.claimed(key)), true);
      }
      const named = deduplicationKey('billing', { name: 'consumer', deduplicationName: 'moved' }, id);
      assert.equal(await context.status(named), 'claimed');
      assert.equal(await context.cache.confirm(await context.claimed(named)), true);
      // Under that name it is done, wherever the consumer is and however it is called now.
      const moved = deduplicationKey('payments', { name: 'renamed', deduplicationName: 'moved' }, id);
      assert.equal(await context.status(moved), 'done');
    },
  },
]);
