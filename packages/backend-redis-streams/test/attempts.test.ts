import { randomUUID } from 'node:crypto';
import type { Delivery, RetryOptions } from '@melange/core';
import { describe, expect, it, vi } from 'vitest';
import { canStartHere } from '../../../apps/brokers/src/index.ts';
import { declared, message, open, proxyOf, received, redis } from './support/streams.ts';

const countsOf = ({ attempt, redeliveries }: Delivery) => ({ attempt, redeliveries });

describe.skipIf(!canStartHere('redis'))('what counts (skipped where no Redis can be started)', () => {
  it('is one redelivery after a crash, however often the lease was renewed before', async () => {
    const { server, admin } = await redis();
    const { proxy } = await proxyOf(server);
    const leaseMs = 600;
    const [silent, other] = [open(proxy.address.port, { leaseMs }), open(server.port, { leaseMs })];
    const queue = await declared(other);
    await other.publishToQueue(queue, [message('1')]);
    const [held] = (await received(silent, queue, 1)) as [Delivery];
    expect(countsOf(held)).toEqual({ attempt: 1, redeliveries: 0 });
    // Renewed at least five times.
    const renewals = async () =>
      Number(/cmdstat_xclaim:calls=(\d+)/.exec(await admin.info('commandstats'))?.[1] ?? 0);
    await vi.waitFor(async () => expect(await renewals()).toBeGreaterThanOrEqual(5), 20_000);
    proxy.stall();
    const [again] = (await received(other, queue, 1)) as [Delivery];
    expect(countsOf(again)).toEqual({ attempt: 1, redeliveries: 1 });
    await again.acknowledge();
    proxy.resume();
  });

  it.each<[RetryOptions, { attempt: number; redeliveries: number }]>([
    [{}, { attempt: 2, redeliveries: 0 }],
    [
      { because: 'failed', delayMs: 1 },
      { attempt: 2, redeliveries: 0 },
    ],
    [{ because: 'deferred' }, { attempt: 1, redeliveries: 0 }],
    [{ because: 'not-run' }, { attempt: 1, redeliveries: 2 }],
    [
      { because: 'not-run', delayMs: 1 },
      { attempt: 1, redeliveries: 2 },
    ],
  ])('after %j, of a message that came for the third time, is %j', async (options, expected) => {
    const { server, admin } = await redis();
    const backend = open(server.port, { leaseMs: 60_000 });
    const queue = await declared(backend);
    await backend.publishToQueue(queue, [message('1')]);
    const stream = `{melange}:stream:${queue}`;
    await admin.xreadgroup('GROUP', 'melange', 'crashed', 'COUNT', 1, 'STREAMS', stream, '>');
    const [[id] = ['']] = (await admin.xpending(stream, 'melange', '-', '+', 1)) as [string][];
    // As two consumers, which crashed one after the other, leave it.
    await admin.call('XCLAIM', stream, 'melange', 'crashed', 0, id, 'IDLE', 61_000, 'RETRYCOUNT', 2);
    const came: Delivery[] = [];
    await backend.subscribe(queue, { maxInFlight: 1 }, (delivery) => void came.push(delivery));
    await vi.waitFor(() => expect(came).toHaveLength(1), 20_000);
    expect(countsOf(came[0] as Delivery)).toEqual({ attempt: 1, redeliveries: 2 });
    await came[0]?.retry(options);
    await vi.waitFor(() => expect(came).toHaveLength(2), 20_000);
    expect(countsOf(came[1] as Delivery)).toEqual(expected);
    // Both go on from there.
    await came[1]?.retry({ because: 'failed' });
    await vi.waitFor(() => expect(came).toHaveLength(3), 20_000);
    expect(countsOf(came[2] as Delivery)).toEqual({ attempt: expected.attempt + 1, redeliveries: 0 });
  });

  it('is nothing where a message was released, or never handed over', async () => {
    const { server } = await redis();
    const backend = open(server.port);
    const queue = await declared(backend);
    await backend.publishToQueue(queue, ['1', '2', '3'].map(message));
    const first: Delivery[] = [];
    const subscription = await backend.subscribe(queue, { maxInFlight: 3 }, (delivery) => {
      first.push(delivery);
      // The answer had two more.
      if (first.length === 1) void subscription.close();
    });
    await vi.waitFor(() => expect(first).toHaveLength(1), 20_000);
    await first[0]?.release();
    const again = await received(backend, queue, 3);
    expect(again.map(countsOf)).toEqual(Array(3).fill({ attempt: 1, redeliveries: 0 }));
  });

  it('is a redelivery where a backend was closed while the handler ran', async () => {
    const { server } = await redis();
    const [first, second] = [open(server.port), open(server.port)];
    const queue = await declared(first);
    await first.publishToQueue(queue, [message('1')]);
    await received(first, queue, 1);
    await first.close();
    const [again] = (await received(second, queue, 1)) as [Delivery];
    expect(countsOf(again)).toEqual({ attempt: 1, redeliveries: 1 });
  });

  it('is done for each message whose id is empty: each has the id of its entry, retries included', async () => {
    const { server, admin } = await redis();
    const backend = open(server.port);
    const deadLetterQueue = `dead-${randomUUID()}`;
    const queue = `queue-${randomUUID()}`;
    await backend.declareQueue(queue, { deadLetterQueue });
    const ids: (string | null)[] = [];
    for (let count = 0; count < 3; count += 1)
      ids.push(await admin.xadd(`{melange}:stream:${queue}`, '*', 'message_id', '', 'melange_content', '1'));
    const came: Delivery[] = [];
    await backend.subscribe(queue, { maxInFlight: 3 }, (delivery) => void came.push(delivery));
    const idsOf = (deliveries: readonly Delivery[]) => deliveries.map((one) => one.message.id);
    await vi.waitFor(() => expect(idsOf(came)).toEqual(ids), 20_000);
    for (const one of came.splice(0)) await one.retry();
    await vi.waitFor(() => expect(idsOf(came)).toEqual(ids), 20_000);
    for (const one of came.splice(0)) await one.deadLetter({ reason: 'test' });
    expect(idsOf(await received(backend, deadLetterQueue, 3))).toEqual(ids);
  });

  it('leaves an unsettled message its age when the answer that brought it was slow', async () => {
    const { server, admin } = await redis();
    const { proxy } = await proxyOf(server);
    const leaseMs = 2_000;
    const [slow, other] = [
      open(proxy.address.port, { leaseMs, pollMs: 50 }),
      open(server.port, { leaseMs, pollMs: 50 }),
    ];
    const queue = await declared(other);
    const late: Delivery[] = [];
    await slow.subscribe(queue, { maxInFlight: 1 }, (delivery) => void late.push(delivery));
    proxy.stall('to-target');
    await other.publishToQueue(queue, [message('1')]);
    proxy.stall('to-client');
    const stream = `{melange}:stream:${queue}`;
    const owner = async () => ((await admin.xpending(stream, 'melange', '-', '+', 1)) as string[][])[0]?.[1];
    await vi.waitFor(async () => expect(await owner()).toBeDefined(), 20_000);
    const first = await owner();
    // The other one takes it over when the lease has ended, before the answer arrives.
    const taken: Delivery[] = [];
    await other.subscribe(queue, { maxInFlight: 1 }, (delivery) => void taken.push(delivery));
    await vi.waitFor(() => expect(taken).toHaveLength(1), 20_000);
    expect(await owner()).not.toBe(first);
    proxy.resume();
    await slow.publishToQueue(queue, [message('2')]);
    await vi.waitFor(() => expect(late.map((one) => one.message.content)).toEqual(['2']), 20_000);
  });
});
