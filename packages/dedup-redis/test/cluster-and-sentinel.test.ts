import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { Cluster } from 'ioredis';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { command, isRedisHere, openCache, privateRedis } from './support/servers.ts';

const execute = promisify(execFile);

describe.skipIf(!isRedisHere)('beyond a single Redis (skipped without redis-server)', () => {
  async function cluster() {
    const settings = { 'cluster-enabled': 'yes', 'cluster-node-timeout': '2000' };
    const nodes = await Promise.all([1, 2, 3].map(() => privateRedis({ settings })));
    const addresses = nodes.map(({ port }) => `127.0.0.1:${port}`);
    await execute('redis-cli', ['--cluster', 'create', ...addresses, '--cluster-yes']);
    await vi.waitFor(async () => {
      for (const node of nodes) expect(await command(node, 'cluster', 'info')).toContain('cluster_state:ok');
    }, 20_000);
    return nodes;
  }

  test('a cluster keeps keys of all slots, survives SCRIPT FLUSH, and follows slots that move', async () => {
    const nodes = await cluster();
    const [first, second] = nodes as [(typeof nodes)[0], (typeof nodes)[0]];
    const { cache } = openCache({
      cluster: { nodes: [{ host: '127.0.0.1', port: first.port }] },
      timeoutMs: 20_000,
    });
    const keys = Array.from({ length: 200 }, (_, n) => `key-${n}`);
    const claims = await Promise.all(keys.map((key) => cache.claim(key, { leaseMs: 60_000 })));
    expect(claims.every(({ status }) => status === 'claimed')).toBe(true);
    for (const node of nodes) expect(Number(await command(node, 'dbsize'))).toBeGreaterThan(0);

    for (const node of nodes) await command(node, 'script', 'flush');
    const [source, target] = [
      await command(first, 'cluster', 'myid'),
      await command(second, 'cluster', 'myid'),
    ];
    const moving = [
      '--cluster-from',
      source,
      '--cluster-to',
      target,
      '--cluster-slots',
      '1000',
      '--cluster-yes',
    ];
    await execute('redis-cli', ['--cluster', 'reshard', `127.0.0.1:${first.port}`, ...moving]);

    const confirmed = await Promise.all(
      claims.map((claim) => (claim.status === 'claimed' ? cache.confirm(claim.token) : false)),
    );
    expect(confirmed).toEqual(keys.map(() => true));
    const again = await Promise.all(keys.map((key) => cache.claim(key, { leaseMs: 1_000 })));
    expect(again.every(({ status }) => status === 'done')).toBe(true);
    expect((await cache.health()).status).toBe('healthy');
  });

  test('a cluster client of the application is used, and bounded though it queues without end', async () => {
    const nodes = await cluster();
    const client = new Cluster(nodes.map(({ port }) => ({ host: '127.0.0.1', port })));
    client.on('error', () => undefined);
    onTestFinished(() => client.disconnect());
    const { cache } = openCache({ client, timeoutMs: 300 });
    await vi.waitFor(async () => expect((await cache.health()).status).toBe('healthy'), 20_000);
    for (const node of nodes) node.pause();
    const start = performance.now();
    const outcomes = await Promise.allSettled(
      Array.from({ length: 20 }, (_, n) => cache.claim(`key-${n}`, { leaseMs: 30_000 })),
    );
    expect(outcomes.every(({ status }) => status === 'rejected')).toBe(true);
    expect(performance.now() - start).toBeLessThan(1_300);
    for (const node of nodes) node.resume();
    await vi.waitFor(async () => expect((await cache.health()).status).toBe('healthy'), 20_000);
  });

  test('Sentinels lead to the new primary after a fail-over, which knows what was done', async () => {
    const primary = await privateRedis();
    const replica = await privateRedis({ settings: { replicaof: `127.0.0.1 ${primary.port}` } });
    await vi.waitFor(async () => {
      expect(await command(replica, 'info', 'replication')).toContain('master_link_status:up');
    }, 20_000);
    const sentinel = await privateRedis({ sentinel: true });
    await command(sentinel, 'sentinel', 'monitor', 'orders', '127.0.0.1', String(primary.port), '1');
    await command(sentinel, 'sentinel', 'set', 'orders', 'down-after-milliseconds', '500');
    await vi.waitFor(async () => {
      expect(await command(sentinel, 'sentinel', 'replicas', 'orders')).toContain(String(replica.port));
    }, 15_000);
    const { cache } = openCache({
      redis: { sentinels: [{ host: '127.0.0.1', port: sentinel.port }], name: 'orders' },
    });
    const claim = await cache.claim('key', { leaseMs: 60_000 });
    if (claim.status !== 'claimed') throw new Error(claim.status);
    await cache.confirm(claim.token);
    await vi.waitFor(async () => expect(await command(replica, 'dbsize')).toBe('1'), 20_000);
    await primary.end('SIGKILL');
    await vi.waitFor(async () => expect((await cache.health()).status).toBe('healthy'), {
      timeout: 25_000,
      interval: 200,
    });
    expect((await cache.claim('key', { leaseMs: 1_000 })).status).toBe('done');
    expect(await command(replica, 'role')).toContain('master');
  });
});
