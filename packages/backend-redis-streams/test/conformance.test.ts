import { describeBackend } from '@melange/conformance';
import { silentLogger } from '@melange/core';
import { afterAll, describe, it } from 'vitest';
import { canStartHere, startRedis } from '../../../apps/brokers/src/index.ts';
import { RedisStreamsBackend, redisStreamsCapabilities } from '../src/index.ts';

const { REDIS_URL: shared } = process.env;

if (shared === undefined) {
  describe('backend redis-streams', () => {
    it('conforms', (test) => test.skip('REDIS_URL is not set'));
  });
} else {
  // One of our own where it can be had, which keeps every write: the suite kills and restarts it.
  const settings = { appendonly: 'yes', appendfsync: 'always' };
  const own = canStartHere('redis') ? await startRedis({ settings }) : undefined;
  if (own !== undefined) afterAll(() => own.stop());
  const url = own?.url ?? shared;
  const { hostname: host, port } = new URL(url);
  // Lost connections are what the suite makes on purpose: warnings of them would only be noise.
  const connect = (address: string) =>
    new RedisStreamsBackend({ url: address, leaseMs: 2_000, connectTimeoutMs: 2_000, logger: silentLogger });
  describeBackend({
    name: 'redis-streams',
    create: () => ({ backend: connect(url), another: () => connect(url) }),
    capabilities: redisStreamsCapabilities,
    faults: {
      target: { host, port: Number(port || 6379) },
      create: (address) =>
        connect(Object.assign(new URL(url), { host: `${address.host}:${address.port}` }).href),
      ...(own !== undefined && {
        restart: async () => {
          await own.end('SIGKILL');
          await own.start();
        },
      }),
    },
  });
}
