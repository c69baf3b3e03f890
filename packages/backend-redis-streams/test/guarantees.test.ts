import type { Delivery } from '@melange/core';
import { describe, expect, it, vi } from 'vitest';
import { canStartHere } from '../../../apps/brokers/src/index.ts';
import { declared, message, open, proxyOf, received, redis } from './support/streams.ts';

const contentsOf = (deliveries: readonly Delivery[]) => deliveries.map((one) => one.message.content);

describe.skipIf(!canStartHere('redis'))('the backend (skipped where no Redis can be started)', () => {
  it('gives what was released in its old place, and what is retried behind what waits', async () => {
    const { server } = await redis();
    const backend = open(server.port);
    const queue = await declared(backend);
    await backend.publishToQueue(queue, ['1', '2', '3', '4'].map(message));
    const came: Delivery[] = [];
    await backend.subscribe(queue, { maxInFlight: 1 }, (delivery) => void came.push(delivery));
    const next = async (count: number): Promise<Delivery> => {
      await vi.waitFor(() => expect(came).toHaveLength(count), 20_000);
      return came[count - 1] as Delivery;
    };
    await (await next(1)).release();
    await (await next(2)).retry();
    for (let count = 3; count <= 6; count += 1) await (await next(count)).acknowledge();
    expect(contentsOf(came)).toEqual(['1', '1', '2', '3', '4', '1']);
  });

  it('loses nothing of which it has not heard when its subscription closes', async () => {
    const { server, admin } = await redis();
    const backend = open(server.port, { leaseMs: 300, pollMs: 100 });
    const queue = await declared(backend);
    const stream = `{melange}:stream:${queue}`;
    await backend.publishToQueue(queue, [message('1')]);
    const came: Delivery[] = [];
    const subscription = await backend.subscribe(queue, { maxInFlight: 1 }, (one) => void came.push(one));
    await vi.waitFor(() => expect(came).toHaveLength(1), 20_000);
    await backend.publishToQueue(queue, [message('2')]);
    const [consumer] = (await admin.xinfo('CONSUMERS', stream, 'melange')) as string[][];
    // As by an answer that was lost.
    const group = ['GROUP', 'melange', String(consumer?.[1])] as const;
    await admin.xreadgroup(...group, 'COUNT', 1, 'STREAMS', stream, '>');
    const closed = subscription.close();
    await came[0]?.acknowledge();
    await closed;
    expect(contentsOf(await received(backend, queue, 1))).toEqual(['2']);
  });

  it('keeps the order of publication though the connection breaks in the middle of batches', async () => {
    const { server, admin } = await redis();
    const { proxy } = await proxyOf(server);
    const backend = open(proxy.address.port);
    const queue = await declared(backend);
    const all = Array.from({ length: 2_000 }, (_, n) => String(n));
    proxy.resetAfter(45_000);
    await backend.publishToQueue(
      queue,
      all.map((content) => message(content)),
    );
    expect(proxy.connectionsMade).toBeGreaterThan(1);
    const entries = await admin.xrange(`{melange}:stream:${queue}`, '-', '+');
    // What was taken and not confirmed is there twice: its first place counts.
    expect([...new Set(entries.map(([, [, content]]) => content))]).toEqual(all);
  });

  it('hears of all that lost answers brought it, more than a thousand, up to maxInFlight', async () => {
    const { server, admin } = await redis();
    const { proxy } = await proxyOf(server);
    const backend = open(proxy.address.port, { leaseMs: 60_000, pollMs: 100, requestTimeoutMs: 1_000 });
    const other = open(server.port);
    const queue = await declared(other);
    const stream = `{melange}:stream:${queue}`;
    const came: string[] = [];
    const deliveries: Delivery[] = [];
    await backend.subscribe(queue, { maxInFlight: 1_100 }, (delivery) => {
      deliveries.push(delivery);
      came.push(String(delivery.message.content));
    });
    await other.publishToQueue(queue, [message('first')]);
    await vi.waitFor(() => expect(came).toEqual(['first']), 20_000);
    const [consumer] = (await admin.xinfo('CONSUMERS', stream, 'melange')) as string[][];
    proxy.stall('to-target');
    await other.publishToQueue(
      queue,
      Array.from({ length: 1_300 }, (_, n) => message(String(n))),
    );
    // As by answers that were lost.
    const group = ['GROUP', 'melange', String(consumer?.[1])] as const;
    await admin.xreadgroup(...group, 'COUNT', 1_300, 'STREAMS', stream, '>');
    // It has asked, and had no answer.
    await vi.waitFor(
      async () => expect(await backend.health()).toMatchObject({ status: 'degraded' }),
      20_000,
    );
    proxy.resume();
    await vi.waitFor(() => expect(came.length).toBeGreaterThanOrEqual(1_100), 20_000);
    expect(new Set(came).size).toBe(1_100);
    expect(came).toHaveLength(1_100);
    // The others had no room then, and are not left to the end of their leases.
    await Promise.all(deliveries.map((delivery) => delivery.acknowledge()));
    await vi.waitFor(() => expect(new Set(came).size).toBe(1_301), 20_000);
  });

  it('finds a lease that has ended behind many that have not', async () => {
    const { server, admin } = await redis();
    const backend = open(server.port, { leaseMs: 30_000 });
    const queue = await declared(backend);
    const stream = `{melange}:stream:${queue}`;
    const all = Array.from({ length: 100 }, (_, n) => message(String(n)));
    await backend.publishToQueue(queue, all);
    await admin.xreadgroup('GROUP', 'melange', 'alive', 'COUNT', 100, 'STREAMS', stream, '>');
    const [[last = ''] = []] = await admin.xrevrange(stream, '+', '-', 'COUNT', 1);
    await admin.xclaim(stream, 'melange', 'crashed', 0, last, 'IDLE', 60_000);
    expect(contentsOf(await received(backend, queue, 1, 1))).toEqual(['99']);
  });

  it('counts neither delayed messages nor unsettled ones among those that wait', async () => {
    const { server } = await redis();
    const backend = open(server.port);
    const queue = await declared(backend);
    await backend.publishToQueue(queue, ['1', '2', '3'].map(message));
    await backend.publishToQueue(queue, [message('delayed')], { delayMs: 60_000 });
    await received(backend, queue, 1, 1);
    expect(await backend.describeQueue(queue)).toMatchObject({ depth: 2 });
  });

  it('keeps a filter as short as it is, however often its queue is declared', async () => {
    const { server, admin } = await redis();
    const backend = open(server.port);
    for (const filter of [
      ['A', 'B'],
      ['A', 'B'],
      ['B', 'C'],
      ['A', 'B', 'C'],
    ]) {
      await backend.declareQueue('queue', { topics: ['topic'], filter });
    }
    expect(await admin.hget('{melange}:topic:topic', 'queue:queue')).toBe('["A","B","C"]');
  });

  it('replaces a connection that owes an answer for longer than requestTimeoutMs', async () => {
    const { server } = await redis();
    const { proxy } = await proxyOf(server);
    const backend = open(proxy.address.port, { requestTimeoutMs: 500 });
    const queue = await declared(backend);
    const before = proxy.connectionsMade;
    proxy.stall();
    const published = backend.publishToQueue(queue, [message('1')]);
    // As a half-open connection: it is never closed, and nothing comes.
    await vi.waitFor(() => expect(proxy.connectionsMade).toBeGreaterThan(before), 20_000);
    proxy.resume();
    await published;
    expect(contentsOf(await received(backend, queue, 1))[0]).toBe('1');
  });

  it('says in its health what Redis refuses a subscription for, and goes on when it does no longer', async () => {
    const { server, admin } = await redis();
    const backend = open(server.port, { pollMs: 20 });
    const queue = await declared(backend);
    const came = received(backend, queue, 1);
    await admin.set(`{melange}:delayed:${queue}`, 'of somebody else');
    const degraded = { status: 'degraded', detail: expect.stringMatching(`"${queue}".*WRONGTYPE`) };
    await vi.waitFor(async () => expect(await backend.health()).toMatchObject(degraded), 20_000);
    await backend.publishToQueue(queue, [message('1')]);
    await admin.del(`{melange}:delayed:${queue}`);
    expect(contentsOf(await came)).toEqual(['1']);
    expect(await backend.health()).toEqual({ status: 'healthy' });
  });
});
