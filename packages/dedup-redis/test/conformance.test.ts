import { fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { type PrivateRedis, startRedis } from '@melange/brokers';
import { describeDeduplicationCache } from '@melange/conformance';
import { silentLogger } from '@melange/core';
import { afterAll, beforeAll, describe } from 'vitest';
import { RedisDeduplicationCache } from '../src/index.ts';
import { command, isRedisHere } from './support/servers.ts';

const url = process.env.REDIS_URL ?? '';
const program = fileURLToPath(new URL('support/claimer.ts', import.meta.url));

describe.skipIf(url === '')('with a Redis (skipped without REDIS_URL)', () => {
  let small: PrivateRedis | undefined;
  beforeAll(async () => {
    if (isRedisHere) small = await startRedis({ settings: { maxmemory: '4mb' } });
  });
  afterAll(() => small?.stop());

  describeDeduplicationCache({
    name: 'redis',
    create: ({ ttlMs }) => {
      const namespace = randomUUID();
      const open = () => new RedisDeduplicationCache({ url, namespace, ttlMs });
      const server = small;
      return {
        cache: open(),
        another: open,
        startProcess: () => fork(program, [url, namespace], { execArgv: ['--import', 'tsx'] }),
        elapse: (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds)),
        ...(server !== undefined && { small: () => emptyCache(server, ttlMs) }),
      };
    },
  });
});

async function emptyCache(server: PrivateRedis, ttlMs: number): Promise<RedisDeduplicationCache> {
  await command(server, 'flushall');
  return new RedisDeduplicationCache({ url: server.url, ttlMs, logger: silentLogger });
}
