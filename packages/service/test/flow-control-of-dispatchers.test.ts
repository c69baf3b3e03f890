import { MemoryBackend } from '@melange/backend-memory';
import {
  QueuePublisher,
  SerializerRegistry,
  SimpleMessageDispatcher,
  SingleDispatchConsumer,
  silentLogger,
} from '@melange/core';
import { JsonSerializer } from '@melange/serializer-json';
import { circuitBreaker, type FlowControl, rateLimit } from '@melange/service/flow-control';
import { RateLimiterMemory } from 'rate-limiter-flexible';
import { afterEach, describe, expect, it } from 'vitest';
import { VirtualClock } from '../src/testing/virtual-clock.ts';
import { OrderPlaced } from './support/messages.ts';
import { RecordingLogger } from './support/recording-logger.ts';

const tests: { stop(): Promise<void> }[] = [];
afterEach(() => Promise.all(tests.splice(0).map((test) => test.stop())));

const orders = (count: number): OrderPlaced[] =>
  Array.from({ length: count }, (_, index) => new OrderPlaced({ id: String(index + 1) }));

describe('for a dispatcher, without a service', () => {
  const json = new JsonSerializer([OrderPlaced]);
  const serializers = new SerializerRegistry({ serializers: { json }, default: 'json' });

  const consumed = async (
    flow: FlowControl,
    handle: (id: string) => void,
    environment: Parameters<FlowControl['start']>[0] = {},
  ) => {
    const backend = new MemoryBackend();
    await backend.declareQueue('orders');
    const publisher = new QueuePublisher({ backend, serializers });
    await publisher.publishBatch(
      'orders',
      orders(5).map((value) => ({ value })),
    );
    const started = flow.start({ logger: silentLogger, ...environment });
    const consumer = new SingleDispatchConsumer('billing').on(OrderPlaced, ({ id }) => handle(id));
    const options = { backend, serializers, middleware: [started.middleware], logger: silentLogger };
    return {
      backend,
      dispatcher: new SimpleMessageDispatcher(consumer, options),
      health: () => started.health(),
    };
  };

  it('a rate limit is a middleware, counted by rate-limiter-flexible', async () => {
    const begun = performance.now();
    const times: number[] = [];
    const { dispatcher } = await consumed(rateLimit({ messages: 2, perMs: 200 }), () => {
      times.push(performance.now() - begun);
    });
    await dispatcher.consumeEvent('orders');
    expect(times).toHaveLength(5);
    // Two in each of three windows.
    expect(times.at(-1)).toBeGreaterThan(390);
  });

  it('a limiter of many processes counts for all of them', async () => {
    const limiter = new RateLimiterMemory({ points: 1, duration: 3_600 });
    await limiter.consume('queue');
    const seen: string[] = [];
    const stop = new AbortController();
    const flow = rateLimit({ messages: 1, perMs: 3_600_000, limiter });
    const { backend, dispatcher } = await consumed(flow, (id) => seen.push(id), { signal: stop.signal });
    const running = dispatcher.consumeLoop('orders', { signal: stop.signal });
    await expect.poll(() => dispatcher.running).toBe(5);
    stop.abort();
    await running;
    expect(seen).toEqual([]);
    await expect.poll(async () => (await backend.describeQueue('orders')).depth).toBe(5);
  });

  it('a limiter that does not answer is asked again; no message uses up an attempt, health says so', async () => {
    const clock = new VirtualClock();
    let isAway = true;
    const limiter = {
      consume: async () => {
        if (isAway) throw new Error('no Redis');
      },
    };
    const seen: string[] = [];
    const logger = new RecordingLogger();
    const flow = rateLimit({ messages: 1, perMs: 1_000, limiter });
    const { dispatcher, health } = await consumed(flow, (id) => seen.push(id), { clock, logger });
    const running = dispatcher.consumeEvent('orders');
    await expect.poll(() => dispatcher.running).toBe(5);
    await logger.lines.reach(1);
    expect(seen).toEqual([]);
    expect(health()).toMatchObject({ status: 'degraded', detail: 'the rate limiter does not answer' });
    isAway = false;
    await expect
      .poll(() => {
        clock.fireNext(Number.POSITIVE_INFINITY);
        return seen.length;
      })
      .toBe(5);
    await running;
    expect(health()).toEqual({ status: 'healthy' });
    expect(logger.lines.items.map(({ level }) => level)).toEqual(['warn', 'info']);
  });

  it('a circuit breaker is a middleware', async () => {
    const clock = new VirtualClock();
    const seen: string[] = [];
    let isDown = true;
    const flow = circuitBreaker({ failures: 5, halfOpenAfterMs: 1_000 });
    const { dispatcher, health } = await consumed(
      flow,
      (id) => {
        if (isDown) throw new Error('down');
        seen.push(id);
      },
      { clock },
    );
    await dispatcher.consumeEvent('orders');
    expect(health()).toMatchObject({ status: 'degraded' });
    isDown = false;
    const running = dispatcher.consumeLoop('orders');
    await expect.poll(() => dispatcher.running, { timeout: 10_000 }).toBeGreaterThan(0);
    expect(seen).toEqual([]);
    await expect
      .poll(
        () => {
          clock.fireNext(Number.POSITIVE_INFINITY);
          return seen.length;
        },
        { timeout: 10_000 },
      )
      .toBe(5);
    expect(health()).toEqual({ status: 'healthy' });
    await dispatcher.close();
    await running;
  });
});
