import { type BrowseDriver, badCursor } from '@melange/backend-kit';
import type { RedisClient } from './client.ts';
import { prelude } from './topology/prelude.ts';
import { fromEntry } from './wire/entry.ts';
import { fromBytes } from './wire/packed.ts';

type RawEntry = readonly [id: Buffer, fields: readonly Buffer[]];

/** queue, where to begin, maximum; answers entries. What is settled has left the stream. */
const browse = `${prelude}
  if not exists(name) then return redis.error_reply('NOQUEUE no such queue') end
  return redis.call('XRANGE', streamKey(name), ARGV[2], '+', 'COUNT', ARGV[3])`;

/** Looks into streams: a cursor is the id of the last entry of its page. */
export function browsing(client: RedisClient): BrowseDriver {
  return {
    async browse(queue, { after, limit }) {
      if (after !== undefined && !/^\d{1,20}-\d{1,20}$/.test(after)) throw badCursor(after);
      const start = after === undefined ? '-' : `(${after}`;
      // One more tells whether there is another page.
      const answer = await client.run(browse, [queue, start, limit + 1]);
      const entries = (answer as readonly RawEntry[]).slice(0, limit);
      const hasMore = (answer as readonly RawEntry[]).length > limit;
      return {
        messages: entries.map(([id, fields]) => fromEntry(String(id), fields.map(fromBytes)).message),
        next: hasMore ? String(entries.at(-1)?.[0]) : undefined,
      };
    },
  };
}
