import { randomUUID } from 'node:crypto';
import { TcpProxy } from '@melange/conformance';
import { type Delivery, type Message, silentLogger } from '@melange/core';
import { Redis } from 'ioredis';
import { onTestFinished, vi } from 'vitest';
import { type PrivateRedis, type StartRedisOptions, startRedis } from '../../../../apps/brokers/src/index.ts';
import { RedisStreamsBackend, type RedisStreamsBackendOptions } from '../../src/index.ts';

/** A server of the test's own, and a client that looks into it. */
export async function redis(
  options?: StartRedisOptions,
): Promise<{ readonly server: PrivateRedis; readonly admin: Redis }> {
  const server = await startRedis(options);
  const admin = new Redis(server.url, { replyMapping: 'legacy' });
  admin.on('error', () => undefined);
  onTestFinished(async () => {
    admin.disconnect();
    await server.stop();
  });
  return { server, admin };
}

/** A backend that the end of the test closes. */
export function open(port: number, options: RedisStreamsBackendOptions = {}): RedisStreamsBackend {
  const backend = new RedisStreamsBackend({ redis: { port }, logger: silentLogger, ...options });
  onTestFinished(() => backend.close());
  return backend;
}

/** What breaks connections to the server; `target` may be led elsewhere. */
export async function proxyOf({ port }: PrivateRedis): Promise<{
  readonly proxy: TcpProxy;
  readonly target: { readonly host: string; port: number };
}> {
  const target = { host: '127.0.0.1', port };
  const proxy = await TcpProxy.start(target);
  onTestFinished(() => proxy[Symbol.asyncDispose]());
  return { proxy, target };
}

export function message(content: string): Message {
  const envelope = { manifest: 'Test', serializerId: 1, key: undefined, headers: {}, publishedAt: 1 };
  return { id: randomUUID(), content, ...envelope };
}

export async function declared(backend: RedisStreamsBackend): Promise<string> {
  const name = `queue-${randomUUID()}`;
  await backend.declareQueue(name);
  return name;
}

/** So many deliveries, unsettled. */
export async function received(
  backend: RedisStreamsBackend,
  queue: string,
  count: number,
  maxInFlight = 10,
): Promise<readonly Delivery[]> {
  const came: Delivery[] = [];
  await backend.subscribe(queue, { maxInFlight }, (delivery) => void came.push(delivery));
  await vi.waitFor(() => {
    if (came.length < count) throw new Error(`${came.length} of ${count} deliveries came`);
  }, 20_000);
  return came;
}
