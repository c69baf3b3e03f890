import type { Delivery, Message } from '@melange/core';
import { describe, expect, it, vi } from 'vitest';
import { canStartHere } from '../../../apps/brokers/src/index.ts';
import { declared, message, open, received, redis } from './support/streams.ts';

const withHeaders = (count: number, value: string): Message => ({
  ...message('1'),
  headers: Object.fromEntries(Array.from({ length: count }, (_, n) => [`header-${n}`, value])),
});

describe.skipIf(!canStartHere('redis'))('without a bound (skipped where no Redis can be started)', () => {
  it('are the headers of messages that are published at once', async () => {
    const { server, admin } = await redis();
    const backend = open(server.port, { publishTimeoutMs: 60_000 });
    const queue = await declared(backend);
    await admin.config('RESETSTAT');
    await backend.publishToQueue(
      queue,
      Array.from({ length: 500 }, () => withHeaders(200, 'x')),
    );
    expect((await backend.describeQueue(queue)).depth).toBe(500);
    // 205,000 fields and values: no script has more than some 16,000 of them.
    const scripts = /cmdstat_eval(?:sha)?:calls=(\d+)/g;
    const stats = [...(await admin.info('commandstats')).matchAll(scripts)];
    expect(stats.reduce((sum, [, calls]) => sum + Number(calls), 0)).toBeGreaterThan(10);
    const came = await received(backend, queue, 500, 500);
    expect(came.every((one) => Object.keys(one.message.headers).length === 200)).toBe(true);
  });

  it('are the bytes of messages that are published at once', async () => {
    const { server, admin } = await redis({ settings: { 'client-query-buffer-limit': '30mb' } });
    const backend = open(server.port);
    const queue = await declared(backend);
    // Text of three bytes a letter: 60 MB, which one script could not carry to this Redis.
    const large = Array.from({ length: 20 }, () => withHeaders(1, '漢'.repeat(1_000_000)));
    await backend.publishToQueue(queue, large);
    expect(await admin.xlen(`{melange}:stream:${queue}`)).toBe(20);
  });

  it.each([2_500, 5_000])(
    'are the fields of an entry: with %d of another client it can be dead-lettered, and retried',
    async (count) => {
      const { server, admin } = await redis();
      const backend = open(server.port);
      const [queue, dead] = ['orders', 'dead'];
      await backend.declareQueue(queue, { deadLetterQueue: dead });
      const fields = Array.from({ length: count }, (_, n) => [`field-${n}`, `${n}`]).flat();
      await admin.xadd(`{melange}:stream:${queue}`, '*', 'melange_content', 'many', ...fields);
      const came: Delivery[] = [];
      await backend.subscribe(queue, { maxInFlight: 1 }, (delivery) => void came.push(delivery));
      const next = async (): Promise<Delivery> => {
        await vi.waitFor(() => expect(came).toHaveLength(1), 20_000);
        return came.pop() as Delivery;
      };
      await (await next()).retry();
      const again = await next();
      expect(again.attempt).toBe(2);
      expect(Object.keys(again.message.headers)).toHaveLength(count);
      await again.deadLetter({ reason: 'test' });
      const [copy] = await received(backend, dead, 1);
      expect(copy?.message.content).toBe('many');
      expect(copy?.message.headers).toMatchObject({
        melange_reason: 'test',
        [`field-${count - 1}`]: `${count - 1}`,
      });
      expect(await backend.describeQueue(queue)).toMatchObject({ depth: 0, inFlight: 0 });
    },
  );

  it('is the number of publishes in one turn', { timeout: 120_000 }, async () => {
    const { server, admin } = await redis();
    const backend = open(server.port, { publishTimeoutMs: 110_000 });
    const queue = await declared(backend);
    const one = message('1');
    const publishes: Promise<void>[] = [];
    for (let n = 0; n < 200_000; n += 1) publishes.push(backend.publishToQueue(queue, [one]));
    await Promise.all(publishes);
    expect(await admin.xlen(`{melange}:stream:${queue}`)).toBe(200_000);
  });

  it('is the number of messages that are settled in one turn, or given back', async () => {
    const { server } = await redis();
    const backend = open(server.port);
    const queue = await declared(backend);
    const all = Array.from({ length: 5_000 }, (_, n) => message(String(n)));
    await backend.publishToQueue(queue, all);
    const deliveries = await received(backend, queue, 5_000, 5_000);
    await Promise.all(deliveries.slice(0, 2_500).map((delivery) => delivery.acknowledge()));
    await backend.close();
    const again = await received(open(server.port), queue, 2_500, 5_000);
    expect(again.map((one) => one.message.content)).toEqual(all.slice(2_500).map(({ content }) => content));
  });

  it('is no header that is no text, and holds up no other message', async () => {
    const { server } = await redis();
    const backend = open(server.port);
    const queue = await declared(backend);
    const wrong = { ...message('1'), headers: { count: 5 } as unknown as Record<string, string> };
    const refused = { failures: [{ messageId: wrong.id, error: { code: 'MESSAGE_INVALID' } }] };
    await expect(backend.publishToQueue(queue, [message('0'), wrong, message('2')])).rejects.toMatchObject(
      refused,
    );
    await expect(backend.publishToQueue(queue, [wrong])).rejects.toMatchObject(refused);
    const came = await received(backend, queue, 2);
    expect(came.map((one) => one.message.content)).toEqual(['0', '2']);
  });
});
