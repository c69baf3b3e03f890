import type { DeduplicationCache, Delivery, Logger, MessagingBackend } from '@melange/core';
import { silentLogger } from '@melange/core';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { AwayCache } from './support/away-cache.ts';
import { type ManualClock, settled } from './support/manual-clock.ts';
import { gate, Scene } from './support/scene.ts';

let clock: ManualClock;
const hangs: Pick<DeduplicationCache, 'claim'> = { claim: () => new Promise(() => undefined) };

describe('a dispatcher whose cache is away', () => {
  let scene: Scene;
  let cache: AwayCache;
  const lines: string[] = [];
  const logger: Logger = {
    ...silentLogger,
    info: (line) => void lines.push(line),
    warn: (line) => void lines.push(line),
    error: (line) => void lines.push(line),
  };
  const stop = () => new AbortController();

  beforeEach(async () => {
    scene = await Scene.open();
    clock = scene.clock;
    cache = new AwayCache(clock);
    lines.length = 0;
  });
  afterEach(() => scene.close());

  /** The backend, with what its deliveries were told. */
  function recording(): { backend: MessagingBackend; settlements: string[]; deliveries: Delivery[] } {
    const settlements: string[] = [];
    const deliveries: Delivery[] = [];
    const backend = scene.withDeliveries((delivery) => {
      deliveries.push(delivery);
      return {
        retry: (options) => {
          settlements.push('retry');
          return delivery.retry(options);
        },
        release: () => {
          settlements.push('release');
          return delivery.release();
        },
      };
    });
    return { backend, settlements, deliveries };
  }

  test('keeps its messages in hand, says so once, and runs them as the same attempt when it is back', async () => {
    await scene.publish(25);
    const { backend, settlements, deliveries } = recording();
    const attempts: number[] = [];
    const process = (_: unknown, { attempt }: { attempt: number }) => void attempts.push(attempt);
    const onException = vi.fn();
    const dispatcher = scene.dispatcher(process, { backend, cache, logger, concurrency: 4 });
    const stopping = stop();
    const running = dispatcher.consumeLoop('orders', { signal: stopping.signal, onException });
    await settled();
    expect(await dispatcher.health()).toMatchObject({
      status: 'degraded',
      detail: expect.stringContaining('connection refused'),
    });
    await clock.advance(29_999);
    expect((await dispatcher.health()).status).toBe('degraded');
    await clock.advance(1);
    expect((await dispatcher.health()).status).toBe('unhealthy');
    await clock.advance(570_000);
    expect(deliveries).toHaveLength(4);
    expect([attempts, settlements]).toEqual([[], []]);
    expect(onException).toHaveBeenCalledTimes(4);
    // One question in 5 s, whatever waits.
    expect(cache.claims).toBeLessThan(140);
    cache.isAway = false;
    await clock.advance(5_000);
    expect(attempts).toEqual(Array(25).fill(1));
    expect(settlements).toEqual([]);
    expect(lines).toEqual([
      'the deduplication cache does not answer: messages wait in hand until it does',
      'the deduplication cache answers again',
    ]);
    expect((await dispatcher.health()).status).toBe('healthy');
    stopping.abort();
    await running;
  });

  test('gives back what waits as soon as it is stopped, and waits for no deadline', async () => {
    await scene.publish(3);
    const { backend, settlements } = recording();
    const stopping = stop();
    const running = scene
      .dispatcher(() => undefined, { backend, cache })
      .consumeLoop('orders', { signal: stopping.signal });
    await settled();
    stopping.abort();
    await running;
    expect(settlements).toEqual(['release', 'release', 'release']);
    const attempts: number[] = [];
    await scene.dispatcher((_, { attempt }) => attempts.push(attempt)).consumeEvent('orders');
    expect(attempts).toEqual([1, 1, 1]);
  });

  test('with keys in order, gives back what waits, too', async () => {
    await scene.publish(3, () => 'k');
    const stopping = stop();
    const running = scene
      .dispatcher(() => undefined, { cache, ordering: 'key' })
      .consumeLoop('orders', { signal: stopping.signal });
    await settled();
    stopping.abort();
    await running;
    expect(await scene.depth()).toBe(3);
  });

  test('does not count the wait as the time of the handler', async () => {
    await scene.publish(3);
    const { passed, open } = gate();
    let signal: AbortSignal | undefined;
    const slow = async (_: unknown, context: { signal: AbortSignal }) => {
      signal = context.signal;
      await passed;
    };
    const stopping = stop();
    const { backend, settlements } = recording();
    const running = scene
      .dispatcher(slow, { backend, cache, handlerTimeoutMs: 10_000 })
      .consumeLoop('orders', { signal: stopping.signal });
    await settled();
    await clock.advance(29_000);
    cache.isAway = false;
    await clock.advance(5_000);
    expect(signal?.aborted).toBe(false);
    await clock.advance(4_999);
    expect(signal?.aborted).toBe(false);
    expect(settlements).toEqual([]);
    await clock.advance(5_001);
    expect(signal?.reason).toMatchObject({ reason: 'timeout' });
    open();
    await settled();
    stopping.abort();
    await running;
  });

  test('does not hold others up for a single key that the cache fails at', async () => {
    cache.isAway = false;
    cache.poisoned = /poison/;
    await scene.publisher.publishBatch('orders', [
      { value: { n: 0 }, id: 'poison' },
      ...Array.from({ length: 20 }, (_, n) => ({ value: { n: n + 1 } })),
    ]);
    const { backend, settlements } = recording();
    const seen: number[] = [];
    const stopping = stop();
    const running = scene
      .dispatcher(({ n }) => seen.push(n), { backend, cache, logger, concurrency: 2 })
      .consumeLoop('orders', { signal: stopping.signal });
    await settled();
    await clock.advance(2_000);
    expect(seen).toHaveLength(20);
    expect(settlements).toContain('retry');
    expect(lines).toContain('message will be retried: in 100 ms, for it did not run; this is no attempt');
    cache.poisoned = /^$/;
    await clock.advance(5_000);
    expect(seen).toHaveLength(21);
    stopping.abort();
    await running;
  });

  test("with onUnavailable 'process' nothing waits for a cache that hangs, but the one that asks whether it is back", async () => {
    Object.assign(cache, hangs);
    await scene.publish(20);
    const seen: number[] = [];
    const stopping = stop();
    const running = scene
      .dispatcher(({ n }) => seen.push(n), {
        cache,
        logger,
        concurrency: 1,
        deduplication: { onUnavailable: 'process' },
      })
      .consumeLoop('orders', { signal: stopping.signal });
    await settled();
    expect(seen).toEqual([]);
    await clock.advance(5_000);
    expect(seen).toHaveLength(20);
    expect(lines).toEqual([
      'the deduplication cache does not answer: messages are processed without it until it does',
    ]);
    stopping.abort();
    await running;
  });
});
