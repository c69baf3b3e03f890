import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { Cluster } from 'ioredis';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { restricted, rights } from './support/rights.ts';
import { command, isRedisHere, openCache, privateRedis } from './support/servers.ts';

const execute = promisify(execFile);

describe.skipIf(!isRedisHere)('beyond a single Redis (skipped without redis-server)', () => {
  const settings = { 'cluster-enabled': 'yes', 'cluster-node-timeout': '2000' };

  async function cluster() {
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
    for (const node of nodes) await command(node, 'acl', 'setuser', ...restricted([...rights, '+cluster']));
    const { cache } = openCache({
      cluster: {
        nodes: [{ host: '127.0.0.1', port: first.port }],
        options: { redisOptions: { username: 'payments', password: 'secret' } },
      },
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
    // Above the bound by no more than a busy machine needs.
    const patienceMs = 300 + 3_000;
    const outcomes = await Promise.allSettled(
      Array.from({ length: 20 }, (_, n) => cache.claim(`key-${n}`, { leaseMs: 30_000 })),
    );
    expect(outcomes.every(({ status }) => status === 'rejected')).toBe(true);
    expect(performance.now() - start).toBeLessThan(patienceMs);
    for (const node of nodes) node.resume();
    await vi.waitFor(async () => expect((await cache.health()).status).toBe('healthy'), 20_000);
  });

  test('a replica that takes over a dead node of a cluster knows what was done, and is found', async () => {
    const nodes = await cluster();
    const [dying, ...others] = nodes as [(typeof nodes)[0], ...typeof nodes];
    const replica = await privateRedis({ settings });
    const addresses = [replica, dying].map(({ port }) => `127.0.0.1:${port}`);
    const role = ['--cluster-slave', '--cluster-master-id', await command(dying, 'cluster', 'myid')];
    await execute('redis-cli', ['--cluster', 'add-node', ...addresses, ...role]);
    const { cache } = openCache({
      cluster: { nodes: others.map(({ port }) => ({ host: '127.0.0.1', port })) },
      timeoutMs: 4_000,
    });
    const keys = Array.from({ length: 100 }, (_, n) => `key-${n}`);
    const claims = await Promise.all(keys.map((key) => cache.claim(key, { leaseMs: 60_000 })));
    for (const claim of claims) if (claim.status === 'claimed') await cache.confirm(claim.token);
    const kept = Number(await command(dying, 'dbsize'));
    expect(kept).toBeGreaterThan(0);
    await vi.waitFor(async () => expect(Number(await command(replica, 'dbsize'))).toBe(kept), 20_000);

    await dying.end('SIGKILL');
    await vi.waitFor(
      async () => {
        const again = await Promise.all(keys.map((key) => cache.claim(key, { leaseMs: 60_000 })));
        expect(again.map(({ status }) => status)).toEqual(keys.map(() => 'done'));
      },
      { timeout: 30_000, interval: 200 },
    );
    expect(await command(replica, 'role')).toContain('master');
    const fresh = await Promise.all(keys.map((key) => cache.claim(`new-${key}`, { leaseMs: 60_000 })));
    expect(fresh.every(({ status }) => status === 'claimed')).toBe(true);
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
