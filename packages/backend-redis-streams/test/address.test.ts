import { silentLogger } from '@melange/core';
import { expect, test } from 'vitest';
import { RedisStreamsBackend, type RedisStreamsBackendOptions } from '../src/index.ts';

const sentinels = [{ host: 'one.example' }, { host: 'two.example', port: 26_380 }];

test.each<[string, RedisStreamsBackendOptions, string]>([
  ['nothing', {}, 'localhost:6379'],
  ['a URL', { url: 'redis://orders:secret@redis.example:6380/2' }, 'redis.example:6380'],
  ['a URL without a port', { url: 'rediss://:secret@redis.example' }, 'redis.example:6379'],
  ['an IPv6 address', { url: 'redis://orders:secret@[::1]:6380' }, '[::1]:6380'],
  [
    'a URL and options',
    { url: 'redis://redis.example:6380', redis: { host: 'other', password: 'secret' } },
    'redis.example:6380',
  ],
  ["ioredis's options", { redis: { host: 'redis.example', port: 1, password: 'secret' } }, 'redis.example:1'],
  ['a socket', { redis: { path: '/run/redis.sock', password: 'secret' } }, '/run/redis.sock'],
  [
    'sentinels',
    { redis: { sentinels, name: 'main', password: 'secret', sentinelPassword: 'secret' } },
    'main of the sentinels one.example:26379, two.example:26380',
  ],
])('the address of a Redis that is given by %s has no credentials', async (_, options, address) => {
  await using backend = new RedisStreamsBackend({ ...options, logger: silentLogger });
  expect(backend.address).toBe(address);
});
