import { Redis } from 'ioredis';
import type { Stage } from '../table.ts';

/** Looks after the keys of the runs: there must be as many as were claimed, and none stays. */
export async function redisStage(address: string): Promise<Stage> {
  const redis = new Redis(address);
  return {
    before: async () => undefined,
    async after({ name }, { queue, warmUp, messages }) {
      let keys = 0;
      for await (const found of redis.scanStream({ match: `*${queue}:*`, count: 10_000 })) {
        const names = found as string[];
        keys += names.length;
        if (names.length > 0) await redis.del(...names);
      }
      if (keys !== warmUp + messages)
        throw new Error(`${name}: ${keys} keys at the end, not ${warmUp + messages}`);
    },
    async close() {
      await redis.quit();
    },
  };
}
