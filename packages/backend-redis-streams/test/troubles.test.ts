import { randomUUID } from 'node:crypto';
import { type Delivery, type Logger, type QueueDescription, silentLogger } from '@melange/core';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { canStartHere } from '../../../apps/brokers/src/index.ts';
import type { RedisStreamsBackend } from '../src/index.ts';
import { declared, message, open, proxyOf, redis } from './support/streams.ts';

interface Line {
  readonly level: keyof Logger;
  readonly text: string;
}

function log(): { readonly lines: Line[]; readonly logger: Logger } {
  const lines: Line[] = [];
  const at = (level: keyof Logger) => (text: string) => void lines.push({ level, text });
  return { lines, logger: { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') } };
}

async function untilHealthIs(backend: RedisStreamsBackend, status: string, detail: RegExp): Promise<void> {
  await vi.waitFor(async () => {
    const health = await backend.health();
    expect(`${health.status} ${health.detail}`).toMatch(new RegExp(`^${status} .*${detail.source}`));
  }, 20_000);
}

async function untilHealthy(backend: RedisStreamsBackend): Promise<void> {
  await vi.waitFor(async () => expect(await backend.health()).toEqual({ status: 'healthy' }), 20_000);
}

/** So many ms later, for whoever asks for the age of something. */
function later(milliseconds: number): void {
  const now = performance.now.bind(performance);
  const spy = vi.spyOn(performance, 'now').mockImplementation(() => now() + milliseconds);
  onTestFinished(() => spy.mockRestore());
}

describe.skipIf(!canStartHere('redis'))('a trouble (skipped where no Redis can be started)', () => {
  it('is a queue that is deleted while it is consumed; consumption goes on when it is declared again', async () => {
    const { server } = await redis();
    const { lines, logger } = log();
    const [backend, other] = [open(server.port, { logger }), open(server.port)];
    const queue = await declared(other);
    await other.publishToQueue(queue, [message('1')]);
    const came: Delivery[] = [];
    const subscription = await backend.subscribe(queue, { maxInFlight: 5 }, (one) => void came.push(one));
    await vi.waitFor(() => expect(came).toHaveLength(1), 20_000);
    let hasEnded = false;
    void subscription.ended.finally(() => {
      hasEnded = true;
    });
    await other.deleteQueue(queue);
    await untilHealthIs(backend, 'degraded', /receiving from queue ".*the queue does not exist/);
    expect(came[0]?.signal.aborted).toBe(true);
    // Asked several times, and told once.
    const from = performance.now();
    await vi.waitFor(() => expect(performance.now() - from).toBeGreaterThan(500), 20_000);
    later(31_000);
    expect((await backend.health()).status).toBe('unhealthy');
    expect(hasEnded).toBe(false);
    await other.declareQueue(queue);
    await untilHealthy(backend);
    await other.publishToQueue(queue, [message('2')]);
    await vi.waitFor(() => expect(came.map((one) => one.message.content)).toEqual(['1', '2']), 20_000);
    // Of the queue that is gone: nothing of the new one is touched.
    await came[0]?.acknowledge();
    expect(lines.map(({ level }) => level)).toEqual(['warn', 'info']);
    expect(lines.map(({ text }) => text)).toEqual(Array(2).fill(expect.stringContaining(queue)));
  });

  it('ends, for a subscription that runs until its queue is empty, as what it is', async () => {
    const { server, admin } = await redis();
    const backend = open(server.port, { pollMs: 20 });
    const queue = await declared(backend);
    await backend.publishToQueue(queue, [message('1')]);
    const subscription = await backend.subscribe(queue, { maxInFlight: 5, untilEmpty: true }, (delivery) => {
      void admin.del(`{melange}:queue:${queue}`).then(() => delivery.acknowledge());
    });
    await expect(subscription.ended).rejects.toMatchObject({ code: 'QUEUE_NOT_FOUND' });
  });

  it('is nobody\u2019s any more when its subscription is closed', async () => {
    const { server } = await redis();
    const backend = open(server.port);
    const queue = await declared(backend);
    const subscription = await backend.subscribe(queue, { maxInFlight: 5 }, () => undefined);
    await backend.deleteQueue(queue);
    await untilHealthIs(backend, 'degraded', /does not exist/);
    await subscription.close();
    expect(await backend.health()).toEqual({ status: 'healthy' });
  });

  it.each<[string, (queue: string, dead: string) => string, RegExp]>([
    ['is gone', (_, dead) => `{melange}:queue:${dead}`, /does not exist/],
    ['holds something else', (_, dead) => `{melange}:stream:${dead}`, /WRONGTYPE/],
  ])('is a dead-letter queue that %s: the message stays, and what ends it is seen', async (_, keyOf, why) => {
    const { server, admin } = await redis();
    const { lines, logger } = log();
    const backend = open(server.port, { logger, leaseMs: 500, pollMs: 50 });
    const [queue, dead] = [`queue-${randomUUID()}`, `dead-${randomUUID()}`];
    await backend.declareQueue(queue, { deadLetterQueue: dead });
    await backend.publishToQueue(queue, [message('1')]);
    const came: Delivery[] = [];
    await backend.subscribe(queue, { maxInFlight: 1 }, (delivery) => void came.push(delivery));
    const next = async (): Promise<Delivery> => {
      await vi.waitFor(() => expect(came).toHaveLength(1), 20_000);
      return came.pop() as Delivery;
    };
    const first = await next();
    const key = keyOf(queue, dead);
    await admin.rename(key, 'aside');
    if (key.includes('stream')) await admin.set(key, 'of somebody else');
    await expect(first.deadLetter({ reason: 'test' })).rejects.toThrow();
    await untilHealthIs(
      backend,
      'degraded',
      new RegExp(`settling messages of queue "${queue}".*${why.source}`),
    );
    const comesAgain = key.includes('stream');
    // What Redis refuses goes back, which is nobody's crash; without its dead-letter queue it stays with its handler.
    const again = comesAgain ? await next() : first;
    expect(again).toMatchObject({ attempt: 1, redeliveries: 0 });
    await expect(again.deadLetter({ reason: 'test' })).rejects.toThrow();
    await admin.rename('aside', key);
    await (comesAgain ? await next() : again).deadLetter({ reason: 'test' });
    await untilHealthy(backend);
    expect(lines.map(({ level }) => level)).toEqual(['warn', 'info']);
    expect(await admin.xlen(`{melange}:stream:${dead}`)).toBe(1);
    expect(await admin.xlen(`{melange}:stream:${queue}`)).toBe(0);
  });

  it('is a destination that Redis refuses: others are published to, and it works again', async () => {
    const { server, admin } = await redis();
    const { lines, logger } = log();
    const backend = open(server.port, { logger });
    const [queue, other] = [await declared(backend), await declared(backend)];
    const key = `{melange}:stream:${queue}`;
    await admin.rename(key, 'aside');
    await admin.set(key, 'of somebody else');
    const refused = { failures: [{ error: { message: expect.stringContaining('WRONGTYPE') } }] };
    for (let count = 0; count < 2; count += 1)
      await expect(backend.publishToQueue(queue, [message('1')])).rejects.toMatchObject(refused);
    await backend.publishToQueue(other, [message('1')]);
    await untilHealthIs(backend, 'degraded', new RegExp(`publishing to queue "${queue}".*WRONGTYPE`));
    await admin.rename('aside', key);
    await backend.publishToQueue(queue, [message('1')]);
    await untilHealthy(backend);
    expect(lines.map(({ level }) => level)).toEqual(['warn', 'info']);
  });

  it('is a destination that nobody publishes to any more for 60 s, then it is forgotten', async () => {
    const { server, admin } = await redis();
    const backend = open(server.port);
    const queue = await declared(backend);
    await admin.del(`{melange}:stream:${queue}`);
    await admin.set(`{melange}:stream:${queue}`, 'of somebody else');
    await expect(backend.publishToQueue(queue, [message('1')])).rejects.toThrow();
    const now = performance.now();
    const clock = vi.spyOn(performance, 'now');
    onTestFinished(() => clock.mockRestore());
    clock.mockReturnValue(now + 55_000);
    expect(await backend.health()).toMatchObject({ status: 'unhealthy' });
    clock.mockReturnValue(now + 60_000);
    expect(await backend.health()).toEqual({ status: 'healthy' });
  });

  it('is a lost connection, told once however often it is tried again', async () => {
    const { server } = await redis();
    const { proxy } = await proxyOf(server);
    const { lines, logger } = log();
    const backend = open(proxy.address.port, { logger });
    const queue = await declared(backend);
    await server.end('SIGKILL');
    await untilHealthIs(backend, 'degraded', /being connected for/);
    const made = proxy.connectionsMade;
    await vi.waitFor(() => expect(proxy.connectionsMade).toBeGreaterThan(made + 2), 20_000);
    await server.start();
    await untilHealthy(backend);
    expect(lines.map(({ level }) => level)).toEqual(['warn', 'info']);
    expect(await backend.describeQueue(queue)).toMatchObject({
      exists: false,
    } satisfies Partial<QueueDescription>);
  });
});

it('of the first connection is seen as well', async () => {
  const backend = open(1, { connectTimeoutMs: 300, logger: silentLogger });
  expect(await backend.health()).toEqual({ status: 'healthy' });
  await expect(backend.declareQueue('queue')).rejects.toMatchObject({ code: 'BROKER_UNAVAILABLE' });
  await untilHealthIs(backend, 'degraded', /being connected for/);
});
