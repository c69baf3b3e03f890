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
  const leaseMs = 2_000;
  const connect = (address: string, logger = silentLogger) =>
    new RedisStreamsBackend({ url: address, leaseMs, connectTimeoutMs: 2_000, logger });
  describeBackend({
    name: 'redis-streams',
    create: () => ({ backend: connect(url), another: () => connect(url) }),
    capabilities: redisStreamsCapabilities,
    leaseMs,
    faults: {
      target: { host, port: Number(port || 6379) },
      create: (address, logger) =>
        connect(Object.assign(new URL(url), { host: `${address.host}:${address.port}` }).href, logger),
      ...(own !== undefined && {
        restart: async () => {
          await own.end('SIGKILL');
          await own.start();
        },
      }),
    },
  });
}
