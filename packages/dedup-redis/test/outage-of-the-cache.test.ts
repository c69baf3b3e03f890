import { randomUUID } from 'node:crypto';
import { MemoryBackend } from '@melange/backend-memory';
import { RedisStreamsBackend } from '@melange/backend-redis-streams';
import { TcpProxy } from '@melange/conformance';
import {
  fixedDelays,
  type Logger,
  type MessagingBackend,
  QueuePublisher,
  SerializerRegistry,
  SimpleMessageDispatcher,
  silentLogger,
} from '@melange/core';
import { JsonSerializer } from '@melange/serializer-json';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { isRedisHere, openCache, privateRedis } from './support/servers.ts';

const serializers = new SerializerRegistry({ serializers: { json: new JsonSerializer() }, default: 'json' });
const messages = 20;

const backends: readonly (readonly [string, () => Promise<MessagingBackend>])[] = [
  ['memory', async () => new MemoryBackend()],
  [
    'Redis Streams',
    async () =>
      new RedisStreamsBackend({ url: (await privateRedis()).url, leaseMs: 1_500, logger: silentLogger }),
  ],
];

describe.skipIf(!isRedisHere)('while the cache is away for seconds (skipped without redis-server)', () => {
  test.each(backends)('on %s messages wait; then each runs once, as its first attempt', async (_, make) => {
    const server = await privateRedis();
    const target = { host: '127.0.0.1', port: server.port };
    const proxy = await TcpProxy.start(target);
    onTestFinished(() => proxy[Symbol.asyncDispose]());
    const { cache } = openCache({ redis: { port: proxy.address.port }, timeoutMs: 300 });
    const backend = await make();
    onTestFinished(() => backend.close());
    const [queue, deadLetterQueue] = [randomUUID(), randomUUID()];
    await backend.declareQueue(queue, { deadLetterQueue });
    const attempts: number[] = [];
    const lines: string[] = [];
    const log = (text: string) => void lines.push(text);
    const logger: Logger = { debug: () => undefined, info: log, warn: log, error: log };
    const consumer = {
      name: 'billing',
      accepts: () => true,
      process: (_message: unknown, { attempt }: { readonly attempt: number }) => void attempts.push(attempt),
    };
    const dispatcher = new SimpleMessageDispatcher(consumer, {
      backend,
      serializers,
      cache,
      retry: fixedDelays([10, 10, 10]),
      logger,
    });
    onTestFinished(() => dispatcher.close({ deadlineMs: 0 }));
    await vi.waitFor(async () => expect(await cache.health()).toEqual({ status: 'healthy' }), 20_000);
    const loop = dispatcher.consumeLoop(queue);
    target.port = 1;
    proxy.cut();
    const publisher = new QueuePublisher({ backend, serializers });
    for (let n = 0; n < messages; n += 1) await publisher.publish(queue, { n });
    await vi.waitFor(async () => expect((await dispatcher.health()).status).not.toBe('healthy'), 20_000);
    // Longer than all four attempts would take, and than the lease of the broker.
    const from = performance.now();
    await vi.waitFor(() => expect(performance.now() - from).toBeGreaterThan(3_500), 20_000);
    expect(attempts).toEqual([]);
    target.port = server.port;
    await vi.waitFor(() => expect(attempts).toHaveLength(messages), 30_000);
    expect(attempts).toEqual(Array(messages).fill(1));
    await vi.waitFor(() => expect(dispatcher.counters.acknowledged).toBe(messages), 20_000);
    await vi.waitFor(async () => expect((await dispatcher.health()).status).toBe('healthy'), 20_000);
    // Not one for each message and question: at its beginning and at its end.
    expect(lines.length, lines.join('\n')).toBeLessThanOrEqual(4);
    expect(await backend.describeQueue(deadLetterQueue)).toMatchObject({ depth: 0 });
    await dispatcher.close();
    await loop;
  });
});
