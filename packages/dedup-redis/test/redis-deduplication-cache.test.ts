import { type AddressInfo, connect, createServer } from 'node:net';
import { pipeline } from 'node:stream';
import { TcpProxy } from '@melange/conformance';
import { type ClaimToken, MelangeError } from '@melange/core';
import { Redis } from 'ioredis';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { RedisDeduplicationCache } from '../src/index.ts';
import { command, isRedisHere, openCache, privateRedis } from './support/servers.ts';

async function claimed(cache: RedisDeduplicationCache, key: string, leaseMs = 30_000): Promise<ClaimToken> {
  const claim = await cache.claim(key, { leaseMs });
  if (claim.status !== 'claimed') throw new Error(`"${key}" is ${claim.status}`);
  return claim.token;
}

/** How often Redis ran the command. */
async function calls(server: { port: number }, name: string): Promise<number> {
  const line = new RegExp(`cmdstat_${name}:calls=(\\d+)`).exec(await command(server, 'info', 'commandstats'));
  return Number(line?.[1] ?? 0);
}

describe.skipIf(!isRedisHere)('a Redis of its own (skipped without redis-server)', () => {
  test('claims of one moment share a round trip, and one of each key wins', async () => {
    const server = await privateRedis();
    const { cache } = openCache({ url: server.url });
    await cache.claim('first', { leaseMs: 1_000 });
    const before = await calls(server, 'evalsha');
    const keys = Array.from({ length: 100 }, (_, n) => `key-${n % 50}`);
    const claims = await Promise.all(keys.map((key) => cache.claim(key, { leaseMs: 30_000 })));
    expect(claims.map(({ status }) => status)).toEqual(keys.map((_, n) => (n < 50 ? 'claimed' : 'held')));
    // Two scripts, written together: Redis works on one while the answers of the other are handled.
    expect((await calls(server, 'evalsha')) - before).toBe(2);
  });

  test('each operation is one command, and the script travels once', async () => {
    const server = await privateRedis();
    const { cache } = openCache({ url: server.url });
    for (let n = 0; n < 5; n += 1) await claimed(cache, String(n));
    expect(await calls(server, 'eval')).toBe(1);
    expect(await calls(server, 'evalsha')).toBe(5);
  });

  test('SCRIPT FLUSH is not noticed', async () => {
    const server = await privateRedis();
    const { cache, log } = openCache({ url: server.url });
    const token = await claimed(cache, 'key');
    await command(server, 'script', 'flush');
    expect(await cache.confirm(token)).toBe(true);
    await command(server, 'script', 'flush');
    expect(await cache.claim('key', { leaseMs: 1_000 })).toMatchObject({ status: 'done' });
    expect(log).toEqual([]);
  });

  test('in progress and done have lifetimes of their own, told as the time that remains', async () => {
    const server = await privateRedis();
    const { cache, namespace } = openCache({ url: server.url, ttlMs: 60_000 });
    const token = await claimed(cache, 'key', 20_000);
    const held = await cache.claim('key', { leaseMs: 1 });
    expect(held).toEqual({ status: 'held', remainingMs: expect.any(Number) });
    expect((held as { remainingMs: number }).remainingMs).toBeLessThanOrEqual(20_000);
    await cache.confirm(token);
    const done = await cache.claim('key', { leaseMs: 1 });
    expect(done).toEqual({ status: 'done', remainingMs: expect.any(Number) });
    expect((done as { remainingMs: number }).remainingMs).toBeGreaterThan(20_000);
    expect(Number(await command(server, 'pttl', `melange:${namespace}:key`))).toBeGreaterThan(50_000);
  });

  test('what is done is remembered for 15 days unless told otherwise', async () => {
    const server = await privateRedis();
    const { cache, namespace } = openCache({ url: server.url });
    await cache.confirm(await claimed(cache, 'key'));
    const days = Number(await command(server, 'pttl', `melange:${namespace}:key`)) / 86_400_000;
    expect(days).toBeGreaterThan(14.9);
    expect(days).toBeLessThanOrEqual(15);
  });

  test('a process with a shorter ttl does not shorten what another confirmed', async () => {
    const server = await privateRedis();
    const { cache, namespace } = openCache({ url: server.url, ttlMs: 60_000 });
    const { cache: hasty } = openCache({ url: server.url, namespace, ttlMs: 10 });
    const token = await claimed(cache, 'key');
    await cache.confirm(token);
    expect(await hasty.confirm(token)).toBe(true);
    expect(await hasty.extend(token, { leaseMs: 10 })).toBe(false);
    await hasty.release(token);
    expect(Number(await command(server, 'pttl', `melange:${namespace}:key`))).toBeGreaterThan(50_000);
  });

  test('an extension never shortens a lease', async () => {
    const server = await privateRedis();
    const { cache, namespace } = openCache({ url: server.url });
    const token = await claimed(cache, 'key', 60_000);
    expect(await cache.extend(token, { leaseMs: 10 })).toBe(true);
    expect(Number(await command(server, 'pttl', `melange:${namespace}:key`))).toBeGreaterThan(50_000);
  });

  test('groups of different namespaces or prefixes do not meet', async () => {
    const server = await privateRedis();
    const { cache: one } = openCache({ url: server.url, namespace: 'one' });
    const { cache: two } = openCache({ url: server.url, namespace: 'two' });
    const { cache: three } = openCache({ url: server.url, namespace: 'one', prefix: 'shop' });
    for (const cache of [one, two, three]) await claimed(cache, 'key');
    const keys = (await command(server, 'keys', '*')).split('\n').toSorted();
    expect(keys).toEqual(['melange:one:key', 'melange:two:key', 'shop:one:key']);
  });

  test('an answer that is lost with its connection is asked for again, and the same', async () => {
    const server = await privateRedis();
    const proxy = await TcpProxy.start({ host: '127.0.0.1', port: server.port });
    onTestFinished(() => proxy[Symbol.asyncDispose]());
    const { cache, namespace } = openCache({ redis: { port: proxy.address.port }, timeoutMs: 30_000 });
    const other = await claimed(cache, 'other');
    const isClaimed = (key: string) => command(server, 'hexists', `melange:${namespace}:${key}`, 'claimed');
    // Redis has done it, and its answer goes no further than the proxy.
    const losing = async <Answer>(asked: Promise<Answer>, key: string, becomes: string) => {
      await vi.waitFor(async () => expect(await isClaimed(key)).toBe(becomes), 20_000);
      proxy.cut();
      proxy.resume();
      return asked;
    };
    proxy.stall('to-client');
    const claim = await losing(cache.claim('key', { leaseMs: 60_000 }), 'key', '1');
    expect(claim.status).toBe('claimed');
    proxy.stall('to-client');
    expect(await losing(cache.confirm(other), 'other', '0')).toBe(true);
    expect((await cache.claim('other', { leaseMs: 1_000 })).status).toBe('done');
  });

  test('a client of the application is used as it is, and left open', async () => {
    const server = await privateRedis();
    const client = new Redis(server.url, { keyPrefix: 'shop:', lazyConnect: true });
    onTestFinished(() => client.disconnect());
    const { cache } = openCache({ client, namespace: 'one' });
    await cache.confirm(await claimed(cache, 'key'));
    expect(await command(server, 'keys', '*')).toBe('shop:melange:one:key');
    expect((await cache.health()).status).toBe('healthy');
    await cache.close();
    expect(await client.ping()).toBe('PONG');
    expect(client.listenerCount('error')).toBe(0);
  });

  test('a client of our own connects though it is told to wait for its first command', async () => {
    const server = await privateRedis();
    const { cache } = openCache({ redis: { port: server.port, lazyConnect: true } });
    await claimed(cache, 'key');
  });

  test('the health of a client of the application that waits without end is told in time', async () => {
    const server = await privateRedis();
    const client = new Redis(server.url);
    onTestFinished(() => client.disconnect());
    const { cache, namespace } = openCache({ client, timeoutMs: 1_000 });
    await vi.waitFor(async () => expect((await cache.health()).status).toBe('healthy'), 20_000);
    await command(server, 'set', `melange:${namespace}:key`, 'of somebody else');
    await expect(cache.claim('key', { leaseMs: 1_000 })).rejects.toThrow('WRONGTYPE');
    // As when Redis hangs between two commands.
    vi.spyOn(client, 'type').mockReturnValue(new Promise(() => undefined));
    expect(await cache.health()).toEqual({ status: 'unhealthy', detail: 'No answer in time' });
  });

  test('a client of the application that was closed is refused at once, with the reason', async () => {
    const server = await privateRedis();
    const client = new Redis(server.url);
    const { cache } = openCache({ client });
    await claimed(cache, 'key');
    await client.quit();
    const failure = await cache.claim('other', { leaseMs: 1_000 }).catch((error: unknown) => error);
    expect(MelangeError.is(failure, 'CACHE_UNAVAILABLE')).toBe(true);
    expect(String(failure)).toContain('closed');
  });

  test('closing lets calls under way finish, and refuses later ones', async () => {
    const server = await privateRedis();
    const { cache } = openCache({ url: server.url });
    const token = await claimed(cache, 'key');
    const confirming = cache.confirm(token);
    await cache.close();
    expect(await confirming).toBe(true);
    const failure = await cache.claim('key', { leaseMs: 1_000 }).catch((error: unknown) => error);
    expect(MelangeError.is(failure, 'CLOSED')).toBe(true);
    expect((await cache.health()).status).toBe('unhealthy');
    // The one that asks is the only client left.
    expect(await command(server, 'client', 'list', 'type', 'normal')).not.toContain('\n');
  });
});

describe('settings that make no sense are refused', () => {
  test.each([
    [{ namespace: 'a:b' }, 'namespace'],
    [{ ttlMs: 0 }, 'ttlMs'],
    [{ timeoutMs: Number.NaN }, 'timeoutMs'],
    [{ url: 'redis://127.0.0.1', redis: {} }, 'Give one of'],
  ])('%j', (options, named) => {
    expect(() => new RedisDeduplicationCache(options)).toThrow(named);
  });
});

describe.skipIf(!isRedisHere)('a client (skipped without redis-server)', () => {
  test('that fails by an error of the program is told of at once: to send again would not mend it', async () => {
    const server = await privateRedis();
    const client = new Redis(server.url, { replyMapping: 'legacy' });
    onTestFinished(() => client.disconnect());
    const evalsha = vi.spyOn(client, 'evalsha').mockRejectedValue(new TypeError('not a function'));
    const { cache } = openCache({ client, timeoutMs: 50_000 });
    const claim = cache.claim('key', { leaseMs: 30_000 });
    await expect(claim).rejects.toMatchObject({ code: 'CACHE_UNAVAILABLE' });
    await expect(claim).rejects.toThrow('not a function');
    expect(evalsha).toHaveBeenCalledTimes(1);
  });

  test('takes a URL with an IPv6 address', async () => {
    const server = await privateRedis();
    const sixToFour = createServer((socket) => {
      pipeline(socket, connect(server.port, '127.0.0.1'), socket, () => undefined);
    });
    await new Promise<void>((resolve) => sixToFour.listen(0, '::1', resolve));
    onTestFinished(() => void sixToFour.close());
    const { port } = sixToFour.address() as AddressInfo;
    const { cache } = openCache({ url: `redis://[::1]:${port}` });
    await claimed(cache, 'key');
    expect(Number(await command(server, 'dbsize'))).toBe(1);
  });
});
