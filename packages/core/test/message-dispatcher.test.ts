import {
  BackendManager,
  MessageDispatcher,
  type MessagingBackend,
  NullCache,
  QueueNotFoundError,
  SimpleMessageDispatcher,
} from '@melange/core';
import { MemoryDeduplicationCache } from '@melange/dedup-memory';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { settled } from './support/manual-clock.ts';
import { consumer, gate, Scene } from './support/scene.ts';
import { serializers } from './support/text-serializer.ts';

let scene: Scene;
beforeEach(async () => {
  scene = await Scene.open();
});
afterEach(() => scene.close());

describe('consumption', () => {
  test('consumeLoop processes what comes until it is aborted', async () => {
    const seen: number[] = [];
    const stop = new AbortController();
    const running = scene.dispatcher(({ n }) => seen.push(n)).consumeLoop('orders', { signal: stop.signal });
    await scene.publish(3);
    await settled();
    await scene.publish(2);
    await settled();
    stop.abort();
    await running;
    expect(seen).toEqual([0, 1, 2, 0, 1]);
    expect(await scene.depth()).toBe(0);
  });

  test('it tells how many messages it processes at this moment, settling included', async () => {
    const { passed, open } = gate();
    await scene.publish(3);
    const dispatcher = scene.dispatcher(() => passed, { concurrency: 2 });
    expect(dispatcher.running).toBe(0);
    const consumed = dispatcher.consumeEvent('orders');
    await settled();
    expect(dispatcher.running).toBe(2);
    open();
    await consumed;
    expect(dispatcher.running).toBe(0);
  });

  test('consumeEvent processes what is there now, then returns', async () => {
    await scene.publish(25);
    const counted = scene.dispatcher(() => undefined);
    await counted.consumeEvent('orders');
    expect(counted.counters).toMatchObject({ received: 25, acknowledged: 25 });
    expect(await scene.depth()).toBe(0);
  });

  test.each([
    [{ status: 'degraded', detail: 'nearly full' }],
    [{ status: 'unhealthy', detail: 'cannot be reached' }],
  ] as const)('a cache that is %j is a health state of the dispatcher', async (state) => {
    const cache = new MemoryDeduplicationCache();
    cache.health = () => state;
    expect(await scene.dispatcher(() => undefined, { cache }).health()).toMatchObject(state);
  });

  test('NullCache remembers nothing: every delivery is processed', async () => {
    await scene.publisher.publish('orders', { n: 1 }, { id: 'same' });
    await scene.publisher.publish('orders', { n: 2 }, { id: 'same' });
    const seen: number[] = [];
    const forgetful = scene.dispatcher(({ n }) => seen.push(n), { cache: new NullCache() });
    await forgetful.consumeEvent('orders');
    expect(seen).toEqual([1, 2]);
    expect(forgetful.counters.duplicates).toBe(0);
  });

  test('a dispatcher that consumes again and again keeps nothing of the runs that are over', async () => {
    const warnings: Error[] = [];
    const onWarning = (warning: Error): void => void warnings.push(warning);
    process.on('warning', onWarning);
    try {
      const again = scene.dispatcher(() => undefined);
      // One more than Node allows listeners without a warning.
      for (let run = 0; run < 12; run += 1) await again.consumeEvent('orders');
      await new Promise((resolve) => setImmediate(resolve));
      expect(warnings).toEqual([]);
    } finally {
      process.off('warning', onWarning);
    }
  });

  test('a queue that does not exist is an error, and a health state', async () => {
    const looking = scene.dispatcher(() => undefined);
    await expect(looking.consumeLoop('nowhere')).rejects.toMatchObject({ code: 'QUEUE_NOT_FOUND' });
    expect(await looking.health()).toMatchObject({
      status: 'unhealthy',
      loops: [{ queue: 'nowhere', failed: expect.stringMatching(/nowhere/) }],
    });
  });

  test('a loop that its backend gives up ends in that error, which is reported and a health state', async () => {
    let giveUp = (_: Error): void => undefined;
    const { backend } = scene;
    const subscribe: MessagingBackend['subscribe'] = async (...parameters) => {
      const subscription = await backend.subscribe(...parameters);
      const close = () => subscription.close();
      return { close, ended: new Promise((_, reject) => (giveUp = reject)) };
    };
    const looking = scene.dispatcher(() => undefined, {
      backend: Object.create(backend, {
        describeQueue: { value: (name: string) => backend.describeQueue(name) },
        health: { value: () => backend.health() },
        subscribe: { value: subscribe },
      }) as MessagingBackend,
    });
    const reported: unknown[] = [];
    const running = looking.consumeLoop('orders', { onException: (error) => reported.push(error) });
    const ended = expect(running).rejects.toMatchObject({ code: 'QUEUE_NOT_FOUND' });
    await settled();
    giveUp(new QueueNotFoundError('orders'));
    await ended;
    expect(reported).toMatchObject([{ code: 'QUEUE_NOT_FOUND' }]);
    expect(await looking.health()).toMatchObject({
      status: 'unhealthy',
      loops: [{ queue: 'orders', failed: expect.stringMatching(/orders/) }],
    });
  });

  test('concurrency bounds the handlers, and backpressure the deliveries', async () => {
    await scene.publish(20);
    const gates = Array.from({ length: 20 }, gate);
    let running = 0;
    let most = 0;
    const bounded = scene.dispatcher(
      async ({ n }) => {
        running += 1;
        most = Math.max(most, running);
        await gates[n]?.passed;
        running -= 1;
      },
      { concurrency: 4 },
    );
    const all = bounded.consumeEvent('orders');
    await settled();
    expect([running, bounded.counters.received, await scene.depth()]).toEqual([4, 4, 16]);
    for (const { open } of gates) open();
    await all;
    expect(most).toBe(4);
  });

  test('concurrency bounds the handlers of each queue, not of all together', async () => {
    await scene.backend.declareQueue('invoices');
    for (const queue of ['orders', 'orders', 'invoices', 'invoices'])
      await scene.publisher.publish(queue, { n: 1 });
    const { passed, open } = gate();
    const busy = scene.dispatcher(() => passed, { concurrency: 1 });
    const running = Promise.all([busy.consumeLoop('orders'), busy.consumeLoop('invoices')]);
    await settled();
    expect(busy.running).toBe(2);
    expect((await busy.health()).loops).toMatchObject([
      { queue: 'orders', inFlight: 1 },
      { queue: 'invoices', inFlight: 1 },
    ]);
    open();
    await busy.close();
    await running;
  });

  test('two consumers of one name are refused, the same one twice is not', () => {
    const twice = new MessageDispatcher({ backend: scene.backend, serializers });
    const one = consumer(() => undefined);
    twice.attachConsumer(one);
    twice.attachConsumer(one);
    expect(() => twice.attachConsumer(consumer(() => undefined))).toThrow(
      expect.objectContaining({ code: 'CONSUMER_DUPLICATE' }),
    );
    twice.unattachConsumer(one);
    twice.attachConsumer(consumer(() => undefined));
  });

  test('the default backend is that of BackendManager', async () => {
    expect(() => new MessageDispatcher({ serializers })).toThrow(/No backend/);
    BackendManager.setDefaultBackend(scene.backend);
    try {
      await scene.publish(1);
      const seen: unknown[] = [];
      const defaulted = new SimpleMessageDispatcher(
        consumer((message) => seen.push(message)),
        { serializers },
      );
      await defaulted.consumeEvent('orders');
      expect(seen).toHaveLength(1);
    } finally {
      BackendManager.setDefaultBackend(undefined);
    }
  });
});
