import type { Delivery, Logger } from '@melange/core';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { canStartHere } from '../../../apps/brokers/src/index.ts';
import { take } from '../src/consume/scripts.ts';
import { declared, message, open, proxyOf, received, redis } from './support/streams.ts';

describe.skipIf(!canStartHere('redis'))('a Redis (skipped where none can be started)', () => {
  it('whose trouble a logger fails at is waited for all the same', async () => {
    const { server } = await redis({ settings: { appendonly: 'yes', appendfsync: 'always' } });
    const fail = (): never => {
      throw new Error('the log is full');
    };
    const logger: Logger = { debug: fail, info: fail, warn: fail, error: fail };
    const told: unknown[] = [];
    for (const level of ['warn', 'error'] as const) {
      const spy = vi.spyOn(console, level).mockImplementation((text) => void told.push(text));
      onTestFinished(() => spy.mockRestore());
    }
    const backend = open(server.port, { logger });
    const queue = await declared(backend);
    const came: unknown[] = [];
    await backend.subscribe(queue, { maxInFlight: 5 }, (delivery) => {
      came.push(delivery.message.content);
      if (came.length === 1) throw new Error('the first time');
      void delivery.acknowledge();
    });
    await server.end('SIGKILL');
    await server.start();
    await backend.publishToQueue(queue, [message('1')]);
    await vi.waitFor(() => expect(came).toEqual(['1', '1']), 20_000);
    expect(String(told)).toContain('a receiver threw');
  });

  it('that is a replica now is left by a waiting subscription for the primary that its address leads to', async () => {
    const [former, current] = [await redis(), await redis()];
    const { proxy, target } = await proxyOf(former.server);
    const backend = open(proxy.address.port, { pollMs: 100 });
    const publisher = open(current.server.port);
    const queue = await declared(backend);
    await publisher.declareQueue(queue);
    const came: Delivery[] = [];
    await backend.subscribe(queue, { maxInFlight: 5 }, (delivery) => void came.push(delivery));
    // A server that keeps its connections, as some fail-overs leave it: every command is answered, and refused.
    target.port = current.server.port;
    await former.admin.replicaof('127.0.0.1', current.server.port);
    await publisher.publishToQueue(queue, [message('1')]);
    await vi.waitFor(() => expect(came.map((one) => one.message.content)).toEqual(['1']), 20_000);
  });

  it('that is read-only for a while is given what was published when it takes it', async () => {
    const { server, admin } = await redis();
    const backend = open(server.port);
    const queue = await declared(backend);
    await admin.replicaof('127.0.0.1', 1);
    const published = backend.publishToQueue(queue, [message('1')]);
    await vi.waitFor(async () => expect(await admin.info('errorstats')).toContain('READONLY'), 20_000);
    await admin.replicaof('NO', 'ONE');
    await published;
    expect(await backend.describeQueue(queue)).toMatchObject({ depth: 1 });
  });

  it('that is full gives what it has, though something delayed is due that it cannot move', async () => {
    const { server, admin } = await redis({ settings: { maxmemory: '0' } });
    const backend = open(server.port, { pollMs: 100 });
    const queue = await declared(backend);
    await backend.publishToQueue(queue, [message('waits')]);
    await backend.publishToQueue(queue, [message('delayed')], { delayMs: 1 });
    await vi.waitFor(async () => {
      const [time] = await admin.time();
      const [, due] = await admin.zrange(`{melange}:delayed:${queue}`, '0', '0', 'WITHSCORES');
      expect(Number(time) * 1_000).toBeGreaterThan(Number(due));
    }, 10_000);
    await admin.config('SET', 'maxmemory', '1');
    const came: Delivery[] = [];
    await backend.subscribe(queue, { maxInFlight: 5 }, (delivery) => void came.push(delivery));
    const contents = () => came.map((one) => one.message.content);
    await vi.waitFor(() => expect(contents()).toEqual(['waits']), 20_000);
    await came[0]?.acknowledge();
    expect(await admin.zcard(`{melange}:delayed:${queue}`)).toBe(1);
    // It answers that nothing is due: else whoever asks would ask again at once, for as long as Redis is full.
    const asked = [queue, 'somebody', 1, 30_000, 0, 0];
    expect(await admin.eval(take, 1, '{melange}', ...asked)).toEqual([[], -1]);
    await admin.config('SET', 'maxmemory', '0');
    await vi.waitFor(() => expect(contents()).toEqual(['waits', 'delayed']), 20_000);
  });

  it('is given back, when a subscription closes, what an answer still brings', async () => {
    const { server, admin } = await redis();
    const { proxy } = await proxyOf(server);
    const backend = open(proxy.address.port, { pollMs: 100 });
    const other = open(server.port);
    const queue = await declared(other);
    const subscription = await backend.subscribe(queue, { maxInFlight: 5 }, () => undefined);
    // Asked for the messages before one is there, Redis would answer with nothing.
    proxy.stall('to-target');
    await other.publishToQueue(queue, [message('1')]);
    proxy.stall('to-client');
    const stream = `{melange}:stream:${queue}`;
    await vi.waitFor(async () => {
      expect(((await admin.xpending(stream, 'melange')) as unknown[])[0]).toBe(1);
    }, 20_000);
    const closed = subscription.close();
    proxy.resume();
    await closed;
    await backend.close();
    // Long before the end of its lease, and as if nobody had had it.
    const [delivery] = (await received(other, queue, 1)) as [Delivery];
    expect(delivery.attempt).toBe(1);
  });

  it('is not given back what was settled in the turn in which the backend closed', async () => {
    const { server, admin } = await redis();
    const backend = open(server.port);
    const queue = await declared(backend);
    await backend.publishToQueue(queue, [message('1'), message('2')]);
    const [first] = (await received(backend, queue, 2)) as [Delivery];
    const settled = first.acknowledge();
    await backend.close();
    await settled;
    expect(await admin.xlen(`{melange}:stream:${queue}`)).toBe(1);
    const [second] = await received(open(server.port), queue, 1);
    expect(second?.message.content).toBe('2');
  });
});
