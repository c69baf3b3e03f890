import { inspect } from 'node:util';
import { MemoryBackend } from '@melange/backend-memory';
import type { PrivateRedis, StartRedisOptions } from '@melange/brokers';
import { TcpProxy } from '@melange/conformance';
import {
  fixedDelays,
  MelangeError,
  MessageDispatcher,
  QueuePublisher,
  SerializerRegistry,
  silentLogger,
} from '@melange/core';
import { JsonSerializer } from '@melange/serializer-json';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import type { RedisDeduplicationCache } from '../src/index.ts';
import { command, isRedisHere, type LogLine, openCache, privateRedis } from './support/servers.ts';

const serializers = new SerializerRegistry({ serializers: { json: new JsonSerializer() }, default: 'json' });
const timeoutMs = 300;
/** Above the bound by no more than a busy machine needs. */
const patienceMs = timeoutMs + 3_000;
const secret = 'open sesame';

interface Outage {
  readonly name: string;
  readonly reason: RegExp;
  /** What the error tells to do. */
  readonly advice: string;
  readonly settings?: StartRedisOptions;
  readonly password?: string;
  readonly unwell: 'unhealthy' | 'degraded';
  /** `key`: where the next message will be claimed. */
  begin(server: PrivateRedis, key: string): unknown;
  end(server: PrivateRedis, key: string): unknown;
}

const outages: readonly Outage[] = [
  {
    name: 'that hangs',
    reason: /No answer within 300 ms|No connection/,
    advice: 'Check that Redis runs',
    unwell: 'unhealthy',
    begin: (server) => server.pause(),
    end: (server) => server.resume(),
  },
  {
    name: 'that is full',
    reason: /OOM/,
    advice: 'It is full',
    unwell: 'unhealthy',
    begin: (server) => command(server, 'config', 'set', 'maxmemory', '1'),
    end: (server) => command(server, 'config', 'set', 'maxmemory', '0'),
  },
  {
    name: 'that became read-only',
    reason: /READONLY/,
    advice: 'This is a replica',
    unwell: 'unhealthy',
    begin: (server) => command(server, 'replicaof', '127.0.0.1', '1'),
    end: (server) => command(server, 'replicaof', 'no', 'one'),
  },
  {
    name: 'that misses its replicas',
    reason: /NOREPLICAS/,
    advice: 'It wants more replicas',
    unwell: 'unhealthy',
    begin: (server) => command(server, 'config', 'set', 'min-replicas-to-write', '1'),
    end: (server) => command(server, 'config', 'set', 'min-replicas-to-write', '0'),
  },
  {
    name: 'that restarts',
    reason: /ECONNREFUSED|No connection|closed/,
    advice: 'Check that Redis runs',
    unwell: 'unhealthy',
    begin: (server) => server.end(),
    end: (server) => server.start(),
  },
  {
    name: 'whose key holds something else',
    reason: /WRONGTYPE/,
    advice: 'Something else uses this key',
    unwell: 'degraded',
    begin: (server, key) => command(server, 'set', key, 'of somebody else'),
    end: (server, key) => command(server, 'del', key),
  },
  {
    name: 'that wants another password',
    reason: /WRONGPASS/,
    advice: 'Correct the user name',
    unwell: 'unhealthy',
    settings: { settings: { requirepass: secret } },
    password: secret,
    async begin(server) {
      await command(server, '-a', secret, 'config', 'set', 'requirepass', 'changed');
      await command(server, '-a', 'changed', 'client', 'kill', 'type', 'normal', 'skipme', 'yes');
    },
    end: (server) => command(server, '-a', 'changed', 'config', 'set', 'requirepass', secret),
  },
];

async function unavailable(cache: RedisDeduplicationCache, key: string): Promise<MelangeError> {
  const start = performance.now();
  const failure = await cache.claim(key, { leaseMs: 30_000 }).catch((error: unknown) => error);
  expect(performance.now() - start).toBeLessThan(patienceMs);
  expect(MelangeError.is(failure, 'CACHE_UNAVAILABLE'), inspect(failure)).toBe(true);
  return failure as MelangeError;
}

/** A busy machine may take longer to connect than the bound of a call. */
async function untilReady(cache: RedisDeduplicationCache): Promise<void> {
  await vi.waitFor(async () => expect((await cache.health()).status).toBe('healthy'), 20_000);
}

/** Said when nothing failed for a second. */
async function untilRecovered(cache: RedisDeduplicationCache, log: readonly LogLine[]): Promise<void> {
  await vi.waitFor(async () => {
    await cache.health();
    expect(log.map(({ level }) => level)).toContain('info');
  }, 20_000);
}

async function untilClaimed(cache: RedisDeduplicationCache, key: string): Promise<void> {
  await vi.waitFor(async () => {
    expect((await cache.claim(key, { leaseMs: 60_000 })).status).toBe('claimed');
  }, 20_000);
}

describe.skipIf(!isRedisHere)('a Redis (skipped without redis-server)', () => {
  describe.each(outages)('$name', (outage) => {
    const setUp = async (onUnavailable: 'retry' | 'process') => {
      const server = await privateRedis(outage.settings);
      const password = outage.password === undefined ? {} : { password: outage.password };
      const { cache, namespace, log } = openCache({
        redis: { port: server.port, ...password },
        timeoutMs,
      });
      const backend = new MemoryBackend();
      onTestFinished(() => backend.close());
      await backend.declareQueue('orders');
      const processed: unknown[] = [];
      const dispatcher = new MessageDispatcher({
        backend,
        serializers,
        cache,
        deduplication: { onUnavailable },
        retry: fixedDelays([50]),
        logger: silentLogger,
      });
      onTestFinished(() => dispatcher.close());
      dispatcher.attachConsumer({
        name: 'billing',
        accepts: () => true,
        process: (value) => void processed.push(value),
      });
      const publish = () =>
        new QueuePublisher({ backend, serializers }).publish('orders', { n: 1 }, { id: 'message-1' });
      await untilReady(cache);
      log.length = 0;
      const key = `melange:${namespace}:orders:billing:message-1`;
      return { server, cache, log, dispatcher, processed, publish, key };
    };

    test('is refused in time, logged once and unwell, and used again without a restart', async () => {
      const { server, cache, log, key } = await setUp('retry');
      await outage.begin(server, key);
      const failures: unknown[] = [];
      for (let claim = 0; claim < 3; claim += 1)
        failures.push(await unavailable(cache, 'orders:billing:message-1'));
      expect(inspect(failures.at(-1))).toMatch(outage.reason);
      expect(String(failures.at(-1))).toMatch(new RegExp(`[^.]\\. ${outage.advice}`));
      const health = await cache.health();
      expect(health.status).toBe(outage.unwell);
      expect(health.detail).not.toBe('');
      const warnings = log.filter(({ level }) => level === 'warn');
      expect(inspect(warnings)).toMatch(outage.reason);
      // A foreign key is a line for each message that meets it; an outage is one for each of its faces.
      expect(warnings.length).toBeLessThanOrEqual(3);
      expect(inspect([failures, health, log], { depth: 10 })).not.toContain(secret);

      await outage.end(server, key);
      await untilReady(cache);
      await untilClaimed(cache, 'orders:billing:message-1');
      if (outage.unwell === 'unhealthy') await untilRecovered(cache, log);
    });

    test('holds messages back with onUnavailable: retry, and lets them go when it is back', async () => {
      const { server, dispatcher, processed, publish, key } = await setUp('retry');
      await outage.begin(server, key);
      await publish();
      const errors: unknown[] = [];
      const loop = dispatcher.consumeLoop('orders', { onException: (error) => void errors.push(error) });
      await vi.waitFor(() => expect(errors.length).toBeGreaterThan(0), 20_000);
      expect(errors.every((error) => MelangeError.is(error, 'CACHE_UNAVAILABLE'))).toBe(true);
      expect(processed).toEqual([]);
      expect((await dispatcher.health()).status).toBe(outage.unwell);

      await outage.end(server, key);
      await vi.waitFor(() => expect(processed).toEqual([{ n: 1 }]), 20_000);
      await vi.waitFor(() => expect(dispatcher.counters.acknowledged).toBe(1), 20_000);
      await dispatcher.close();
      await loop;
    });

    test('holds nothing up with onUnavailable: process', async () => {
      const { server, log, dispatcher, processed, publish, key } = await setUp('process');
      await outage.begin(server, key);
      await publish();
      const errors: unknown[] = [];
      const start = performance.now();
      await dispatcher.consumeEvent('orders', { onException: (error) => void errors.push(error) });
      expect(performance.now() - start).toBeLessThan(patienceMs);
      expect(processed).toEqual([{ n: 1 }]);
      expect(errors.map((error) => MelangeError.is(error, 'CACHE_UNAVAILABLE'))).toEqual([true]);
      expect(inspect(log.filter(({ level }) => level === 'warn'))).toMatch(outage.reason);
      expect((await dispatcher.health()).status).toBe(outage.unwell);
      await outage.end(server, key);
    });
  });

  test('that refuses some keys and grants others is told once, and once when it grants all', async () => {
    const server = await privateRedis();
    const may = (keys: string) =>
      command(server, 'acl', 'setuser', 'payments', 'reset', 'on', 'nopass', '+@all', keys);
    await may('~*');
    const login = { username: 'payments', password: 'any' };
    const { cache, log } = openCache({ redis: { port: server.port, ...login }, timeoutMs: 5_000 });
    await untilReady(cache);
    await may('~*:granted*');
    for (let n = 0; n < 20; n += 1) {
      await cache.claim(`granted-${n}`, { leaseMs: 30_000 });
      await expect(cache.claim(`refused-${n}`, { leaseMs: 30_000 })).rejects.toThrow('Allow its user');
    }
    expect(log.map(({ level }) => level)).toEqual(['warn']);
    await may('~*');
    await untilRecovered(cache, log);
    expect(log.map(({ level }) => level)).toEqual(['warn', 'info']);
  });

  test('that was down for longer than the timeout refuses at once, and is not asked by a queue', async () => {
    const server = await privateRedis();
    const { cache } = openCache({ url: server.url, timeoutMs: 2_000 });
    await untilReady(cache);
    await server.end();
    const refused = { code: 'CACHE_UNAVAILABLE' };
    await expect(cache.claim('second', { leaseMs: 30_000 })).rejects.toMatchObject(refused);
    const start = performance.now();
    await Promise.all(
      Array.from({ length: 100 }, (_, n) =>
        expect(cache.claim(String(n), { leaseMs: 30_000 })).rejects.toMatchObject(refused),
      ),
    );
    expect(performance.now() - start).toBeLessThan(1_500);
    await server.start();
    await untilReady(cache);
    // What was refused left no claim behind.
    expect(await command(server, 'dbsize')).toBe('0');
  });

  test('that is a replica now is left for the primary that its address leads to', async () => {
    const [former, current] = [await privateRedis(), await privateRedis()];
    const target = { host: '127.0.0.1', port: former.port };
    const proxy = await TcpProxy.start(target);
    onTestFinished(() => proxy[Symbol.asyncDispose]());
    const { cache } = openCache({ redis: { port: proxy.address.port }, timeoutMs });
    await untilReady(cache);
    await command(former, 'replicaof', '127.0.0.1', String(current.port));
    target.port = current.port;
    expect(String(await unavailable(cache, 'second'))).toContain('READONLY');
    await untilClaimed(cache, 'second');
    expect(await command(current, 'dbsize')).not.toBe('0');
  });

  test('whose trouble a logger fails at is refused in time all the same', async () => {
    const server = await privateRedis();
    const fail = (): never => {
      throw new Error('the log is full');
    };
    const logger = { debug: fail, info: fail, warn: fail, error: fail };
    const { cache } = openCache({ url: server.url, timeoutMs, logger });
    await untilReady(cache);
    await server.end();
    await unavailable(cache, 'second');
    await server.start();
    await untilReady(cache);
  });

  test('that restarts within the timeout is waited for', async () => {
    const server = await privateRedis({ settings: { appendonly: 'yes', appendfsync: 'always' } });
    const { cache } = openCache({ url: server.url, timeoutMs: 30_000 });
    const claim = await cache.claim('key', { leaseMs: 60_000 });
    await server.end('SIGKILL');
    const confirming = claim.status === 'claimed' ? cache.confirm(claim.token) : undefined;
    await server.start();
    expect(await confirming).toBe(true);
    expect((await cache.claim('key', { leaseMs: 1_000 })).status).toBe('done');
  });

  test.each(['the same worker', 'another worker'])(
    'that answers too late has the claim taken back, so that %s need not wait for its lease',
    async (who) => {
      const server = await privateRedis();
      const { cache, namespace } = openCache({ url: server.url, timeoutMs });
      const { cache: another } = openCache({ url: server.url, timeoutMs, namespace });
      await Promise.all([untilReady(cache), untilReady(another)]);
      server.pause();
      await unavailable(cache, 'late');
      server.resume();
      await untilClaimed(who === 'another worker' ? another : cache, 'late');
    },
  );

  test('whose late answer is lost with its connection has the claim taken back when there is another one', async () => {
    const server = await privateRedis();
    const proxy = await TcpProxy.start({ host: '127.0.0.1', port: server.port });
    onTestFinished(() => proxy[Symbol.asyncDispose]());
    const { cache, namespace } = openCache({ redis: { port: proxy.address.port }, timeoutMs });
    const { cache: another } = openCache({ url: server.url, timeoutMs, namespace });
    await Promise.all([untilReady(cache), untilReady(another)]);
    proxy.stall('to-client');
    await unavailable(cache, 'lost');
    const isClaimed = () => command(server, 'hexists', `melange:${namespace}:lost`, 'claimed');
    await vi.waitFor(async () => expect(await isClaimed()).toBe('1'), 20_000);
    proxy.cut();
    proxy.resume();
    await untilClaimed(another, 'lost');
  });

  test('that is full still confirms, extends and releases what is under way', async () => {
    const server = await privateRedis();
    const { cache } = openCache({ url: server.url, timeoutMs: 5_000 });
    const tokens = [];
    for (const key of ['confirmed', 'extended', 'released']) {
      const claim = await cache.claim(key, { leaseMs: 30_000 });
      if (claim.status === 'claimed') tokens.push(claim.token);
    }
    const [confirmed, extended, released] = tokens;
    if (confirmed === undefined || extended === undefined || released === undefined) throw new Error('held');
    await command(server, 'config', 'set', 'maxmemory', '1');
    await unavailable(cache, 'another');
    expect(await cache.confirm(confirmed)).toBe(true);
    expect(await cache.extend(extended, { leaseMs: 60_000 })).toBe(true);
    await cache.release(released);
    expect((await cache.claim('confirmed', { leaseMs: 1_000 })).status).toBe('done');
    expect(await cache.claim('extended', { leaseMs: 1_000 })).toMatchObject({ status: 'held' });
    await command(server, 'config', 'set', 'maxmemory', '0');
    expect((await cache.claim('released', { leaseMs: 1_000 })).status).toBe('claimed');
  });
});
