import { DeadLetterHeader, type Delivery } from '@melange/core';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { settled } from './support/manual-clock.ts';
import { gate, Scene } from './support/scene.ts';

let scene: Scene;
beforeEach(async () => {
  scene = await Scene.open();
});
afterEach(() => scene.close());

describe('ordering', () => {
  test("'key' runs different keys at once and one key strictly in order, retries included", async () => {
    const log: string[] = [];
    const failures = new Map([['a0', 2]]);
    const stop = new AbortController();
    const ordered = scene.dispatcher(
      ({ n }, { key }) => {
        const name = `${key}${n}`;
        log.push(name);
        const left = failures.get(name) ?? 0;
        failures.set(name, left - 1);
        if (left > 0) throw new Error('declined');
      },
      { ordering: 'key' },
    );
    await scene.publish(4, (n) => (n % 2 === 0 ? 'a' : 'b'));
    const running = ordered.consumeLoop('orders', { signal: stop.signal });
    await settled();
    expect(log).toEqual(['a0', 'b1', 'b3']);
    await scene.clock.advance(100);
    expect(log).toEqual(['a0', 'b1', 'b3', 'a0']);
    await scene.clock.advance(100);
    expect(log).toEqual(['a0', 'b1', 'b3', 'a0', 'a0', 'a2']);
    stop.abort();
    await running;
    expect(await scene.depth()).toBe(0);
  });

  test("'key' leaves out what was lost while it waited in its lane: it comes again", async () => {
    await scene.publish(2);
    let lose = (): void => undefined;
    const backend = scene.withDeliveries((delivery) => {
      const lost = new AbortController();
      lose = () => {
        lost.abort();
        void delivery.retry();
      };
      return { message: { ...delivery.message, key: 'same' }, signal: lost.signal };
    });
    const first = gate();
    const log: unknown[] = [];
    const ordered = scene.dispatcher(
      async ({ n }, { attempt }) => {
        log.push([n, attempt]);
        await first.passed;
      },
      { backend, ordering: 'key' },
    );
    const stop = new AbortController();
    const running = ordered.consumeLoop('orders', { signal: stop.signal });
    await settled();
    expect(log).toEqual([[0, 1]]);
    // That of the second one, which was handed over last.
    lose();
    first.open();
    await settled();
    expect(log).toEqual([
      [0, 1],
      [1, 2],
    ]);
    stop.abort();
    await running;
  });

  test("'key' keeps the order of a key also where the broker hands over several of it at once", async () => {
    await scene.publish(6);
    // A queue without order by key, such as RabbitMQ's: even numbers are of one key, odd ones of another.
    const backend = scene.withDeliveries(({ message }) => ({
      message: { ...message, key: `key-${Number(JSON.parse(String(message.content)).n) % 2}` },
    }));
    const log: string[] = [];
    const failures = new Set([0]);
    const stop = new AbortController();
    const ordered = scene.dispatcher(
      async ({ n }) => {
        log.push(`>${n}`);
        await settled();
        log.push(`<${n}`);
        if (failures.delete(n)) throw new Error('declined');
      },
      { backend, ordering: 'key' },
    );
    const running = ordered.consumeLoop('orders', { signal: stop.signal });
    const ofKey = (key: number) => log.filter((line) => Number(line.slice(1)) % 2 === key);
    await vi.waitFor(() => expect(ofKey(1)).toHaveLength(6));
    expect(ofKey(1)).toEqual(['>1', '<1', '>3', '<3', '>5', '<5']);
    // One of each key at once, and what waits behind a retry waits.
    expect(log.slice(0, 2)).toEqual(['>0', '>1']);
    expect(ofKey(0)).toEqual(['>0', '<0']);
    await scene.clock.advance(100);
    await vi.waitFor(() => expect(ofKey(0)).toHaveLength(8));
    expect(ofKey(0)).toEqual(['>0', '<0', '>0', '<0', '>2', '<2', '>4', '<4']);
    stop.abort();
    await running;
    expect(await scene.depth()).toBe(0);
  });

  test("'key': past maxAttempts the message is dead-lettered and its key goes on", async () => {
    const log: number[] = [];
    const stop = new AbortController();
    await scene.publish(2, () => 'a');
    const ordered = scene.dispatcher(
      ({ n }) => {
        log.push(n);
        if (n === 0) throw new Error('declined');
      },
      { ordering: 'key' },
    );
    const running = ordered.consumeLoop('orders', { signal: stop.signal });
    await settled();
    await scene.clock.advance(100);
    await scene.clock.advance(100);
    expect(log).toEqual([0, 0, 0, 1]);
    stop.abort();
    await running;
    const dead: Delivery[] = [];
    await scene.backend.subscribe('dead', { maxInFlight: 2 }, (delivery) => void dead.push(delivery));
    await settled();
    // Those that the broker knows nothing of are counted, too.
    expect(dead.map(({ message }) => message.headers[DeadLetterHeader.attempts])).toEqual(['3']);
    await dead[0]?.acknowledge();
  });

  test("'queue' is one at a time, in order", async () => {
    await scene.publish(5);
    const log: string[] = [];
    const ordered = scene.dispatcher(
      async ({ n }) => {
        log.push(`>${n}`);
        await settled();
        log.push(`<${n}`);
      },
      { ordering: 'queue', concurrency: 10 },
    );
    await ordered.consumeEvent('orders');
    expect(log).toEqual([0, 1, 2, 3, 4].flatMap((n) => [`>${n}`, `<${n}`]));
  });
});
