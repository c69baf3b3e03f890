import { randomUUID } from 'node:crypto';
import { describeDeduplicationCache } from '@melange/conformance';
import { describe } from 'vitest';
import { RedisDeduplicationCache } from '../src/index.ts';

const url = process.env.REDIS_URL;

describe.skipIf(url === undefined)('on Redis (skipped without one)', () => {
  describeDeduplicationCache({
    name: 'redis',
    create: ({ ttlMs }) => {
      const namespace = randomUUID();
      const open = () => new RedisDeduplicationCache({ url: url as string, namespace, ttlMs });
      return {
        cache: open(),
        another: open,
        elapse: (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds)),
      };
    },
  });
});
