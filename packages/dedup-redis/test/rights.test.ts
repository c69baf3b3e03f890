import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { restricted, rights } from './support/rights.ts';
import { command, isRedisHere, openCache, privateRedis } from './support/servers.ts';

async function restrictedCache(to: readonly string[]) {
  const server = await privateRedis();
  await command(server, 'acl', 'setuser', ...restricted(to));
  const login = { username: 'payments', password: 'secret' };
  return { server, ...openCache({ redis: { port: server.port, ...login }, timeoutMs: 5_000 }) };
}

describe.skipIf(!isRedisHere)('a user of Redis (skipped without redis-server)', () => {
  test('with the rights of the README may do all that a cache does', async () => {
    const warnings: unknown[] = [];
    const spy = vi.spyOn(console, 'warn').mockImplementation((...line) => void warnings.push(line));
    onTestFinished(() => spy.mockRestore());
    const { server, cache, namespace, log } = await restrictedCache(rights);
    const claim = await cache.claim('key', { leaseMs: 30_000 });
    if (claim.status !== 'claimed') throw new Error(claim.status);
    expect(await cache.claim('key', { leaseMs: 30_000 })).toMatchObject({ status: 'held' });
    expect(await cache.extend(claim.token, { leaseMs: 60_000 })).toBe(true);
    await command(server, 'script', 'flush');
    expect(await cache.confirm(claim.token)).toBe(true);
    const other = await cache.claim('other', { leaseMs: 30_000 });
    if (other.status === 'claimed') await cache.release(other.token);
    expect(await cache.health()).toEqual({ status: 'healthy' });
    await command(server, 'set', `melange:${namespace}:foreign`, 'of somebody else');
    await expect(cache.claim('foreign', { leaseMs: 30_000 })).rejects.toThrow('WRONGTYPE');
    expect(await cache.health()).toMatchObject({ status: 'degraded' });
    expect([...warnings, ...log.filter(({ facts }) => !String(facts?.reason).includes('WRONGTYPE'))]).toEqual(
      [],
    );
  });

  test.each(['pexpire', 'hset', 'del', 'evalsha'])(
    'without %s is unhealthy, told what to allow, and leaves no claim without an end',
    async (missing) => {
      const { server, cache } = await restrictedCache(rights.filter((right) => right !== `+${missing}`));
      if (missing !== 'del') {
        const refused = cache.claim('key', { leaseMs: 30_000 });
        await expect(refused).rejects.toThrow(/Allow its user EVAL/);
        expect(await command(server, 'dbsize')).toBe('0');
      }
      expect((await cache.health()).status).toBe('unhealthy');
    },
  );
});
