import type { MemoryBackend } from '@melange/backend-memory';
import { SimpleMessageDispatcher } from '@melange/core';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { settled } from './support/manual-clock.ts';
import { consumer, gate, Scene } from './support/scene.ts';
import { serializers } from './support/text-serializer.ts';

let scene: Scene;
beforeEach(async () => {
  scene = await Scene.open();
});
afterEach(() => scene.close());

describe('stopping', () => {
  test('a stop that comes before the loop has begun to receive ends it all the same', async () => {
    const stop = new AbortController();
    const slow = Object.create(scene.backend, {
      describeQueue: {
        value: async (name: string) => {
          stop.abort();
          return scene.backend.describeQueue(name);
        },
      },
      subscribe: { value: () => Promise.reject(new Error('nothing is to be received any more')) },
    }) as MemoryBackend;
    const dispatching = new SimpleMessageDispatcher(
      consumer(() => undefined),
      { backend: slow, serializers },
    );
    await dispatching.consumeLoop('orders', { signal: stop.signal });
    expect(dispatching.counters.received).toBe(0);
  });

  test('waits for running handlers, stops intake at once, gives the rest back', async () => {
    await scene.publish(5);
    const { passed, open } = gate();
    const stop = new AbortController();
    const draining = scene.dispatcher(() => passed, { concurrency: 2 });
    const running = draining.consumeLoop('orders', { signal: stop.signal });
    await settled();
    stop.abort();
    await scene.publish(1);
    await settled();
    expect(draining.counters.received).toBe(2);
    open();
    await running;
    expect(draining.counters.acknowledged).toBe(2);
    expect(await scene.depth()).toBe(4);
  });

  test("with ordering 'key' what waits at hand goes back unprocessed, and what runs is acknowledged", async () => {
    await scene.publish(4, (n) => `key-${n}`);
    const { passed, open } = gate();
    const stop = new AbortController();
    const seen: number[] = [];
    const draining = scene.dispatcher(
      ({ n }) => {
        seen.push(n);
        return passed;
      },
      { ordering: 'key', concurrency: 1 },
    );
    const running = draining.consumeLoop('orders', { signal: stop.signal });
    await settled();
    expect(draining.counters.received).toBe(4);
    stop.abort();
    await settled();
    open();
    await running;
    expect(seen).toEqual([0]);
    expect(draining.counters.acknowledged).toBe(1);
    expect(await scene.depth()).toBe(3);
  });

  test('close() resolves when its loops are over, not before', async () => {
    await scene.publish(1);
    const { passed, open } = gate();
    const draining = scene.dispatcher(() => passed);
    const running = draining.consumeLoop('orders');
    await settled();
    const closed = vi.fn();
    const closing = draining.close().then(closed);
    await settled();
    expect(closed).not.toHaveBeenCalled();
    open();
    await Promise.all([closing, running]);
    expect(draining.counters.acknowledged).toBe(1);
  });

  test('past the deadline the signal is aborted and the message given back, not acknowledged', async () => {
    await scene.publish(1);
    const { passed, open } = gate();
    let signal: AbortSignal | undefined;
    const stuck = scene.dispatcher((_, context) => {
      signal = context.signal;
      return passed;
    });
    const onException = vi.fn();
    const running = stuck.consumeLoop('orders', { onException });
    await settled();
    const closed = stuck.close({ deadlineMs: 1_000 });
    await settled();
    expect(signal?.aborted).toBe(false);
    await scene.clock.advance(1_000);
    await Promise.all([closed, running]);
    expect(signal?.reason).toMatchObject({ code: 'DELIVERY_ABORTED', reason: 'shutdown' });
    expect(await scene.depth()).toBe(1);
    open();
    await settled();
    expect(stuck.counters.acknowledged).toBe(0);
    expect(await scene.depth()).toBe(1);
    // What was given back is not settled any more, not even in vain.
    expect(onException).not.toHaveBeenCalled();
  });

  test('a message that waits for its retry in its lane is given back at once', async () => {
    await scene.publish(2, () => 'a');
    const failing = scene.dispatcher(() => Promise.reject(new Error('declined')), { ordering: 'key' });
    const running = failing.consumeLoop('orders');
    await settled();
    await failing.close();
    await running;
    expect(await scene.depth()).toBe(2);
    expect(scene.clock.pending).toBe(0);
  });

  test.each([undefined, 'key'] as const)(
    'consumeEvent waits for handlers and retries of its lanes, not for the deadline of stopping: ordering %s',
    async (ordering) => {
      await scene.publish(2, () => 'a');
      const { passed, open } = gate();
      const signals: AbortSignal[] = [];
      const slow = scene.dispatcher(async (_, { signal, attempt }) => {
        signals.push(signal);
        await passed;
        if (ordering === 'key' && attempt === 1) throw new Error('declined');
      }, ordering && { ordering });
      let isOver = false;
      const running = slow.consumeEvent('orders', { deadlineMs: 10 }).then(() => {
        isOver = true;
      });
      await settled();
      await scene.clock.advance(60_000);
      expect(isOver).toBe(false);
      open();
      await settled();
      await scene.clock.advance(1_000);
      await running;
      expect(signals.some(({ aborted }) => aborted)).toBe(false);
      expect(slow.counters).toMatchObject({ acknowledged: 2 });
    },
  );

  test('close ends every loop, twice is once, and consuming afterwards is refused', async () => {
    const closing = scene.dispatcher(() => undefined);
    await scene.backend.declareQueue('other');
    const loops = [closing.consumeLoop('orders'), closing.consumeLoop('other')];
    await settled();
    await Promise.all([closing.close(), closing.close(), ...loops]);
    await expect(closing.consumeLoop('orders')).rejects.toMatchObject({ code: 'CLOSED' });
  });

  test('a signal that is aborted already consumes nothing', async () => {
    await scene.publish(1);
    await scene.dispatcher(() => undefined).consumeLoop('orders', { signal: AbortSignal.abort() });
    expect(await scene.depth()).toBe(1);
  });

  test('a settlement that is under way when the deadline passes counts, and is no error', async () => {
    await scene.publish(1);
    const { passed, open } = gate();
    const onException = vi.fn();
    const slow = scene.withDeliveries((delivery) => ({
      async acknowledge() {
        await delivery.acknowledge();
        await passed;
      },
    }));
    const stopping = scene.dispatcher(() => undefined, { backend: slow });
    const running = stopping.consumeLoop('orders', { onException });
    await settled();
    const closed = stopping.close({ deadlineMs: 1_000 });
    await settled();
    await scene.clock.advance(1_000);
    open();
    await Promise.all([closed, running]);
    await settled();
    expect(onException).not.toHaveBeenCalled();
    expect(stopping.counters.acknowledged).toBe(1);
  });

  test('an adapter that throws while deliveries are given back hinders nothing, and is reported', async () => {
    await scene.publish(2);
    const { passed, open } = gate();
    const onException = vi.fn();
    const broken = scene.withDeliveries(() => ({
      release() {
        throw new Error('not implemented');
      },
    }));
    const stopping = scene.dispatcher(() => passed, { backend: broken });
    const running = stopping.consumeLoop('orders', { onException });
    await settled();
    const closed = stopping.close({ deadlineMs: 1_000 });
    await settled();
    await scene.clock.advance(1_000);
    expect(onException).toHaveBeenCalledTimes(2);
    // The subscription still waits for its deliveries: what it never got back ends with the backend.
    await scene.backend.close();
    open();
    await Promise.all([closed, running]);
  });

  test('a subscription that fails to close is the error of its loop, after the handlers are done', async () => {
    await scene.publish(1);
    const { passed, open } = gate();
    const failing = Object.create(scene.backend, {
      describeQueue: { value: (name: string) => scene.backend.describeQueue(name) },
      subscribe: {
        value: async (...parameters: Parameters<MemoryBackend['subscribe']>) => {
          const { ended } = await scene.backend.subscribe(...parameters);
          return { ended, close: () => Promise.reject(new Error('cannot close')) };
        },
      },
    }) as MemoryBackend;
    const stopping = scene.dispatcher(() => passed, { backend: failing });
    const stop = new AbortController();
    let isOver = false;
    const running = stopping.consumeLoop('orders', { signal: stop.signal }).catch((error) => error);
    void running.then(() => {
      isOver = true;
    });
    await settled();
    stop.abort();
    await settled();
    expect(isOver).toBe(false);
    open();
    expect(await running).toMatchObject({ message: 'cannot close' });
    expect(stopping.counters.acknowledged).toBe(1);
  });
});
