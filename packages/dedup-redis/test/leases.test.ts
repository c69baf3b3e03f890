import { MemoryBackend } from '@melange/backend-memory';
import {
  type ConsumeContext,
  fixedDelays,
  MelangeError,
  QueuePublisher,
  SerializerRegistry,
  SimpleMessageDispatcher,
  silentLogger,
} from '@melange/core';
import { JsonSerializer } from '@melange/serializer-json';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { command, isRedisHere, openCache, privateRedis } from './support/servers.ts';

const serializers = new SerializerRegistry({ serializers: { json: new JsonSerializer() }, default: 'json' });
const leaseMs = 1_500;

/** A message under way in a handler that ends when it is told to. */
async function underWay(timeoutMs: number) {
  const server = await privateRedis();
  const { cache, namespace } = openCache({ url: server.url, timeoutMs });
  const backend = new MemoryBackend();
  onTestFinished(() => backend.close());
  await backend.declareQueue('orders');
  const runs: { readonly signal: AbortSignal; finish(): void }[] = [];
  const errors: unknown[] = [];
  const consumer = {
    name: 'billing',
    accepts: () => true,
    process: (_: unknown, { signal }: ConsumeContext) =>
      new Promise<void>((resolve) => void runs.push({ signal, finish: resolve })),
  };
  const dispatcher = new SimpleMessageDispatcher(consumer, {
    backend,
    serializers,
    cache,
    deduplication: { leaseMs },
    retry: fixedDelays([50]),
    logger: silentLogger,
  });
  onTestFinished(() => dispatcher.close({ deadlineMs: 0 }));
  void dispatcher.consumeLoop('orders', { onException: (error) => void errors.push(error) });
  await new QueuePublisher({ backend, serializers }).publish('orders', { n: 1 }, { id: 'message-1' });
  await vi.waitFor(() => expect(runs).toHaveLength(1), 20_000);
  return { server, cache, dispatcher, runs, errors, key: `melange:${namespace}:orders:billing:message-1` };
}

const isLost = (error: unknown): boolean => MelangeError.is(error, 'DELIVERY_ABORTED');

describe.skipIf(!isRedisHere)(
  'a handler that runs longer than its lease (skipped without redis-server)',
  () => {
    test('keeps its claim as long as Redis answers', async () => {
      const { server, dispatcher, runs, errors, key } = await underWay(5_000);
      const started = performance.now();
      await vi.waitFor(() => expect(performance.now() - started).toBeGreaterThan(leaseMs * 2), 20_000);
      expect(runs[0]?.signal.aborted).toBe(false);
      expect(await command(server, 'hexists', key, 'claimed')).toBe('1');
      runs[0]?.finish();
      await vi.waitFor(() => expect(dispatcher.counters.acknowledged).toBe(1), 20_000);
      expect(errors).toEqual([]);
      expect(runs).toHaveLength(1);
    });

    test('is told when another one took its claim over, and its late result is refused and reported', async () => {
      const { server, cache, dispatcher, runs, errors, key } = await underWay(5_000);
      await command(server, 'del', key);
      const other = await cache.claim('orders:billing:message-1', { leaseMs: 60_000 });
      if (other.status !== 'claimed') throw new Error(other.status);
      await vi.waitFor(() => expect(runs[0]?.signal.aborted).toBe(true), 20_000);
      expect(isLost(runs[0]?.signal.reason)).toBe(true);
      runs[0]?.finish();
      await vi.waitFor(() => expect(errors.filter(isLost)).toHaveLength(1), 20_000);
      expect(await command(server, 'hget', key, 'fence')).toBe(other.token.fence);
      expect(await command(server, 'hexists', key, 'claimed')).toBe('1');
      await cache.confirm(other.token);
      await vi.waitFor(
        () => expect(dispatcher.counters).toMatchObject({ acknowledged: 1, duplicates: 1 }),
        20_000,
      );
      expect(runs).toHaveLength(1);
    });

    test('whose confirm fails is not run again: its message is acknowledged, and the failure reported', async () => {
      const { server, dispatcher, runs, errors } = await underWay(200);
      errors.length = 0;
      server.pause();
      runs[0]?.finish();
      await vi.waitFor(() => expect(dispatcher.counters.acknowledged).toBe(1), 20_000);
      const unconfirmed = errors.filter((error) => MelangeError.is(error, 'CACHE_UNAVAILABLE'));
      expect(unconfirmed).toHaveLength(1);
      expect(runs).toHaveLength(1);
      server.resume();
    });

    test('is told when the lease cannot be renewed in time, and runs again when Redis is back', async () => {
      const { server, dispatcher, runs, errors } = await underWay(200);
      server.pause();
      await vi.waitFor(() => expect(runs[0]?.signal.aborted).toBe(true), 20_000);
      expect(isLost(runs[0]?.signal.reason)).toBe(true);
      expect(runs[0]?.signal.reason).toMatchObject({ reason: 'lease-lost' });
      server.resume();
      await vi.waitFor(async () => expect(await command(server, 'dbsize')).toBe('0'), 20_000);
      runs[0]?.finish();
      await vi.waitFor(() => expect(runs).toHaveLength(2), 20_000);
      expect(errors.filter(isLost)).toHaveLength(1);
      runs[1]?.finish();
      await vi.waitFor(() => expect(dispatcher.counters.acknowledged).toBe(1), 20_000);
    });
  },
);
