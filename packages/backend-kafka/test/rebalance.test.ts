import { connect as connectSocket } from 'node:net';
import { TcpProxy } from '@melange/conformance';
import type { Delivery } from '@melange/core';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { arrived, backendFor, inbox, message, noBroker, queueName, soon, url } from './support/scene.ts';

const patience = { timeout: 60_000, interval: 20 };

describe.skipIf(url === '')(`rebalances of Kafka${url === '' ? ` (${noBroker})` : ''}`, () => {
  test('ten joins and leaves during 20,000 keyed messages: none lost, none repeated, each key in order', {
    timeout: 180_000,
  }, async () => {
    const steady = backendFor();
    const queue = queueName(steady);
    await steady.declareQueue(queue, { partitions: 6 });
    const order = new Map<string, number[]>();
    let processed = 0;
    const receive = async (delivery: Delivery): Promise<void> => {
      const { key = '', content } = delivery.message;
      // Some outlast the requests of a rebalance, so that only waiting for them keeps them from being repeated.
      await new Promise((resolve) => setTimeout(resolve, Number(content) % 50 === 0 ? 150 : 2));
      if (content !== 'probe') {
        order.set(key, [...(order.get(key) ?? []), Number(content)]);
        processed += 1;
      }
      await delivery.acknowledge();
    };
    await steady.subscribe(queue, { maxInFlight: 50 }, (delivery) => void receive(delivery));

    const publisher = backendFor();
    const messages = Array.from({ length: 20_000 }, (_, n) => message(`${n}`, { key: `key-${n % 200}` }));
    for (let cycle = 0; cycle < 10; cycle += 1) {
      const guest = backendFor();
      let toGuest = 0;
      const subscription = await guest.subscribe(queue, { maxInFlight: 50 }, (delivery) => {
        toGuest += 1;
        void receive(delivery);
      });
      // Probes tell when it has its partitions.
      await vi.waitFor(async () => {
        const probes = Array.from({ length: 24 }, (_, n) => message('probe', { key: `probe-${n}` }));
        await publisher.publishToQueue(queue, probes);
        expect(toGuest).toBeGreaterThan(0);
      }, patience);
      toGuest = 0;
      const publishing = (async () => {
        for (let from = cycle * 2_000; from < (cycle + 1) * 2_000; from += 200)
          await publisher.publishToQueue(queue, messages.slice(from, from + 200));
      })();
      // In the middle of its work it leaves again.
      await vi.waitFor(() => expect(toGuest).toBeGreaterThan(100), patience);
      await subscription.close();
      await publishing;
    }
    await vi.waitFor(() => expect(processed).toBeGreaterThanOrEqual(20_000), patience);
    const expected = Array.from({ length: 200 }, (_, key) =>
      Array.from({ length: 100 }, (__, n) => n * 200 + key),
    );
    for (const [key, numbers] of expected.entries()) expect(order.get(`key-${key}`)).toEqual(numbers);
    expect(processed).toBe(20_000);
    await vi.waitFor(async () => expect((await steady.describeQueue(queue)).depth).toBe(0), soon);
  });

  test('what outlasts the deadline is aborted, its late completion discarded, and comes to the new owner', async () => {
    const first = backendFor({ revocationDeadlineMs: 300 });
    const [queue, dead] = [queueName(first), queueName(first)];
    await first.declareQueue(queue, { partitions: 2, deadLetterQueue: dead });
    const messages = Array.from({ length: 20 }, (_, n) => message(`${n}`, { key: `key-${n}` }));
    await first.publishToQueue(queue, messages);
    const held = inbox();
    const subscription = await first.subscribe(queue, { maxInFlight: 20 }, held.receive);
    await arrived(held.deliveries, 20);
    const signals = held.deliveries.map(({ signal }) => signal);
    const [finished, ...rest] = held.deliveries as [Delivery, ...Delivery[]];
    await finished.acknowledge();

    const second = backendFor();
    const taken = inbox((delivery) => delivery.acknowledge());
    await second.subscribe(queue, { maxInFlight: 20 }, taken.receive);
    await vi.waitFor(() => expect(signals.filter(({ aborted }) => aborted)).toHaveLength(19), soon);
    expect(signals[1]?.reason).toMatchObject({ code: 'DELIVERY_ABORTED', reason: 'partition-revoked' });
    expect(signals[0]?.aborted).toBe(false);
    // Of every kind.
    const late: ((delivery: Delivery) => unknown)[] = [
      (delivery) => delivery.acknowledge(),
      (delivery) => delivery.retry(),
      (delivery) => delivery.release(),
      (delivery) => delivery.deadLetter({ reason: 'late', error: undefined }),
    ];
    await Promise.all(rest.map((delivery, index) => late[index % late.length]?.(delivery)));
    const again = (): Delivery[] => [...taken.deliveries, ...held.deliveries.slice(20)];
    const idsOf = (messages: readonly { readonly id: string }[]) => messages.map(({ id }) => id).sort();
    await vi.waitFor(() => expect(again().length).toBeGreaterThanOrEqual(19), soon);
    // More than there is room for: what was lost must not have made room twice.
    const more = Array.from({ length: 80 }, (_, n) => message('more', { key: `key-${n}` }));
    await first.publishToQueue(queue, more);
    await vi.waitFor(() => expect(held.deliveries.length).toBeGreaterThanOrEqual(40), soon);
    expect(held.deliveries).toHaveLength(40);
    const closing = subscription.close();
    for (const delivery of held.deliveries.slice(20)) await delivery.acknowledge();
    await closing;
    await vi.waitFor(() => expect(again().length).toBeGreaterThanOrEqual(99), soon);
    // Neither lost by the late settlements nor doubled by them.
    expect(idsOf(again().map((one) => one.message))).toEqual(
      idsOf([...rest.map((one) => one.message), ...more]),
    );
    expect(new Set(again().map(({ attempt }) => attempt))).toEqual(new Set([1]));
    expect(taken.deliveries.length).toBeGreaterThan(0);
    expect((await second.describeQueue(dead)).depth).toBe(0);
  });

  test('a handler that outlives the session keeps its partition: heartbeats do not wait for it', async () => {
    const backend = backendFor({ sessionTimeoutMs: 2_000, revocationDeadlineMs: 500 });
    const queue = queueName(backend);
    await backend.declareQueue(queue, { partitions: 1 });
    await backend.publishToQueue(queue, [message('slow')]);
    const received = inbox();
    await backend.subscribe(queue, { maxInFlight: 5 }, received.receive);
    await arrived(received.deliveries, 1);
    const [slow] = received.deliveries as [Delivery];
    const { signal } = slow;
    // Twice the session: the time itself is what is tested.
    await new Promise((resolve) => setTimeout(resolve, 4_000));
    expect(signal.aborted).toBe(false);
    expect(received.deliveries).toHaveLength(1);
    await slow.acknowledge();
    await backend.close();
    const other = backendFor();
    expect((await other.describeQueue(queue)).depth).toBe(0);
  });

  test('a process that was silent for too long loses its partitions: its deliveries are aborted, and come elsewhere', async () => {
    const { hostname, port } = new URL(url);
    const proxy = await TcpProxy.start({ host: hostname, port: Number(port) });
    onTestFinished(() => proxy[Symbol.asyncDispose]());
    const silent = backendFor({
      sessionTimeoutMs: 2_000,
      revocationDeadlineMs: 1_000,
      socketFactory: ({ onConnect }) => connectSocket({ ...proxy.address, noDelay: true }, onConnect),
    });
    const queue = queueName(silent);
    await silent.declareQueue(queue, { partitions: 1 });
    await silent.publishToQueue(queue, [message('once'), message('twice')]);
    const held = inbox();
    await silent.subscribe(queue, { maxInFlight: 5 }, held.receive);
    await arrived(held.deliveries, 2);
    const [once, twice] = held.deliveries as [Delivery, Delivery];
    const { signal } = twice;
    await once.acknowledge();
    await vi.waitFor(async () => expect((await backendFor().describeQueue(queue)).depth).toBe(1), soon);
    proxy.stall();
    const other = backendFor();
    const taken = inbox((delivery) => delivery.acknowledge());
    await other.subscribe(queue, { maxInFlight: 5 }, taken.receive);
    await arrived(taken.deliveries, 1);
    proxy.resume();
    await vi.waitFor(() => expect(signal.aborted).toBe(true), soon);
    expect(signal.reason).toMatchObject({ code: 'DELIVERY_ABORTED' });
    await twice.acknowledge();
    await vi.waitFor(async () => expect((await silent.health()).status).toBe('healthy'), soon);
    await vi.waitFor(async () => expect((await other.describeQueue(queue)).depth).toBe(0), soon);
    expect(taken.contents()).toEqual(['twice']);
    expect(held.contents()).toEqual(['once', 'twice']);
  });
});
