import { randomUUID } from 'node:crypto';
import { TcpProxy } from '@melange/conformance';
import { type Delivery, type Message, silentLogger } from '@melange/core';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { canStartHere, type PrivateRedis, startRedis } from '../../../apps/brokers/src/index.ts';
import { RedisStreamsBackend, type RedisStreamsBackendOptions } from '../src/index.ts';
import { declared, message, received } from './support/streams.ts';

const isHere = canStartHere('redis');

describe.skipIf(!isHere)('on a Redis of its own (skipped where none can be started)', () => {
  let server: PrivateRedis;
  let admin: Redis;

  beforeAll(async () => {
    server = await startRedis({ settings: { appendonly: 'yes', appendfsync: 'always', maxmemory: '64mb' } });
    admin = new Redis(server.url, { replyMapping: 'legacy' });
    admin.on('error', () => undefined);
  });
  afterAll(async () => {
    admin.disconnect();
    await server.stop();
  });

  const open = (options: Partial<RedisStreamsBackendOptions> = {}) =>
    new RedisStreamsBackend({ url: server.url, logger: silentLogger, ...options });

  it('takes over what a silent process holds; what that one does then changes nothing', async () => {
    await using proxy = await TcpProxy.start({ host: '127.0.0.1', port: server.port });
    const silent = open({ url: `redis://127.0.0.1:${proxy.address.port}`, leaseMs: 1_500 });
    const other = open({ leaseMs: 1_500 });
    const [queue, dead] = [`queue-${randomUUID()}`, `dead-${randomUUID()}`];
    await other.declareQueue(queue, { deadLetterQueue: dead });
    await other.publishToQueue(queue, ['1', '2', '3', '4', '5'].map(message));
    const [late, ...unaware] = (await received(silent, queue, 5)) as [Delivery, ...Delivery[]];
    expect([late, ...unaware].map(({ attempt }) => attempt)).toEqual([1, 1, 1, 1, 1]);
    proxy.stall();
    // On their way before the lease ends, and at Redis long after.
    const ways: ((delivery: Delivery) => unknown)[] = [
      (delivery) => delivery.acknowledge(),
      (delivery) => delivery.retry(),
      (delivery) => delivery.deadLetter({ reason: 'test' }),
      (delivery) => delivery.release(),
    ];
    const settled = Promise.allSettled(unaware.map((delivery, index) => ways[index]?.(delivery)));
    const taken = await received(other, queue, 5);
    // What comes later goes to either of the two.
    const all = taken.slice(0, 5);
    expect(all.map(({ attempt, redeliveries }) => [attempt, redeliveries])).toEqual(Array(5).fill([1, 1]));
    await vi.waitFor(() => expect(late.signal.aborted).toBe(true), 10_000);
    expect(late.signal.reason).toMatchObject({ reason: 'lease-lost' });
    proxy.resume();
    await settled;
    await late.acknowledge();
    await silent.publishToQueue(queue, [message('6')]);
    expect(await admin.xlen(`{melange}:stream:${queue}`)).toBe(6);
    expect(await admin.xlen(`{melange}:stream:${dead}`)).toBe(0);
    await Promise.all(all.map((delivery) => delivery.acknowledge()));
    expect(await admin.xlen(`{melange}:stream:${queue}`)).toBe(1);
    await Promise.all([silent.close(), other.close()]);
  });

  it('keeps a lease alive that is held for longer than it lasts, also while its subscription closes', async () => {
    const [holder, other] = [open({ leaseMs: 1_500 }), open({ leaseMs: 1_500 })];
    const queue = await declared(holder);
    await holder.publishToQueue(queue, [message('1'), message('2')]);
    const held: Delivery[] = [];
    const subscriptions = await Promise.all(
      [1, 2].map(() => holder.subscribe(queue, { maxInFlight: 1 }, (delivery) => void held.push(delivery))),
    );
    await vi.waitFor(() => expect(held).toHaveLength(2), 10_000);
    const closed = subscriptions[0]?.close();
    const taken: Delivery[] = [];
    await other.subscribe(queue, { maxInFlight: 2 }, (delivery) => void taken.push(delivery));
    // Longer than two leases: the other one looks for those that ended.
    await new Promise((resolve) => setTimeout(resolve, 3_500));
    expect(taken).toEqual([]);
    expect(held.map(({ signal }) => signal.aborted)).toEqual([false, false]);
    await Promise.all(held.map((delivery) => delivery.acknowledge()));
    await closed;
    await Promise.all([holder.close(), other.close()]);
  });

  it('keeps queues, delayed messages, retries and their attempts when Redis is killed', async () => {
    const backend = open();
    const queue = await declared(backend);
    await backend.publishToQueue(queue, [message('retried')]);
    const [first] = (await received(backend, queue, 1)) as [Delivery];
    await first.retry({ delayMs: 300 });
    await backend.publishToQueue(queue, [message('delayed')], { delayMs: 300 });
    await backend.close();
    await server.end('SIGKILL');
    await server.start();
    const next = open();
    const again = await received(next, queue, 2);
    expect(again.map(({ message: { content }, attempt }) => [content, attempt]).sort()).toEqual([
      ['delayed', 1],
      ['retried', 2],
    ]);
    await next.close();
  });

  it('hears of messages whose answer was lost at once, not when their lease ends', async () => {
    await using proxy = await TcpProxy.start({ host: '127.0.0.1', port: server.port });
    const backend = open({ url: `redis://127.0.0.1:${proxy.address.port}`, pollMs: 100 });
    const publisher = open();
    const queue = await declared(publisher);
    const came: Delivery[] = [];
    await backend.subscribe(queue, { maxInFlight: 5 }, (delivery) => void came.push(delivery));
    await publisher.publishToQueue(queue, [message('first')]);
    await vi.waitFor(() => expect(came).toHaveLength(1), 10_000);
    // Whatever is asked already is answered, and what is asked next brings the message.
    proxy.stall('to-target');
    await publisher.publishToQueue(queue, [message('second')]);
    await publisher.describeQueue(queue);
    proxy.stall('to-client');
    const given = async () => ((await admin.xpending(`{melange}:stream:${queue}`, 'melange')) as [number])[0];
    await vi.waitFor(async () => expect(await given()).toBe(2), 10_000);
    const stream = `{melange}:stream:${queue}`;
    const idleMs = async () =>
      ((await admin.xpending(stream, 'melange', '-', '+', 2)) as [string, string, number][])[1]?.[2] ?? 0;
    await vi.waitFor(async () => expect(await idleMs()).toBeGreaterThan(3_000), 10_000);
    proxy.cut();
    proxy.resume();
    await vi.waitFor(() => expect(came).toHaveLength(2), 10_000);
    // Its lease begins anew: nobody renewed it before it was heard of.
    expect(await idleMs()).toBeLessThan(3_000);
    await publisher.publishToQueue(queue, [message('third')]);
    await vi.waitFor(() => expect(came).toHaveLength(3), 10_000);
    expect(came.map(({ attempt, redeliveries }) => [attempt, redeliveries])).toEqual(Array(3).fill([1, 0]));
    await Promise.all([backend.close(), publisher.close()]);
  });

  it('is woken by what is published, retried, dead-lettered and released', async () => {
    const [backend, other] = [open({ pollMs: 60_000 }), open()];
    const [topic, deadLetterQueue] = [`topic-${randomUUID()}`, await declared(other)];
    const queue = `queue-${randomUUID()}`;
    await other.declareQueue(queue, { topics: [topic], deadLetterQueue });
    const [came, dead]: [Delivery[], Delivery[]] = [[], []];
    await backend.subscribe(queue, { maxInFlight: 1 }, (delivery) => void came.push(delivery));
    await backend.subscribe(deadLetterQueue, { maxInFlight: 1 }, (delivery) => void dead.push(delivery));
    const next = async (): Promise<Delivery> => {
      await vi.waitFor(() => expect(came).toHaveLength(1), 10_000);
      return came.pop() as Delivery;
    };
    // Until the subscriptions are waiting, and have nothing to take.
    await other.publishToQueue(queue, [message('1')]);
    await (await next()).acknowledge();
    await other.publishToQueue(queue, [message('2')]);
    await (await next()).acknowledge();
    await other.publishToTopic(topic, [message('3')]);
    await (await next()).retry({ delayMs: 50 });
    await (await next()).release();
    await (await next()).deadLetter({ reason: 'test' });
    await vi.waitFor(() => expect(dead).toHaveLength(1), 10_000);
    await Promise.all([backend.close(), other.close()]);
  });

  it('shares round trips: a thousand publishes and acknowledgements take a few dozen scripts', async () => {
    const backend = open();
    const queue = await declared(backend);
    await admin.config('RESETSTAT');
    const messages = Array.from({ length: 1_000 }, (_, index) => message(String(index)));
    await Promise.all(messages.map((one) => backend.publishToQueue(queue, [one])));
    const deliveries = await received(backend, queue, 1_000, 1_000);
    await Promise.all(deliveries.map((delivery) => delivery.acknowledge()));
    expect(await scriptsRun()).toBeLessThan(60);
    await backend.close();
  });

  it('takes what another client adds, and wakes up for it', async () => {
    const backend = open({ pollMs: 60_000 });
    const queue = await declared(backend);
    const came: Delivery[] = [];
    await backend.subscribe(queue, { maxInFlight: 5 }, (delivery) => void came.push(delivery));
    const fields = ['melange_content', 'hello', 'manifest', 'Greeting', 'traceparent', '00-1-1-01'];
    const id = await admin.xadd(`{melange}:stream:${queue}`, '*', ...fields);
    await vi.waitFor(async () => expect(await admin.publish(`{melange}:wake:${queue}`, '')).toBe(1), 10_000);
    await vi.waitFor(() => expect(came).toHaveLength(1), 10_000);
    const { content, manifest, headers, ...rest } = (came[0] as Delivery).message;
    expect({ content, manifest, headers }).toEqual({
      content: 'hello',
      manifest: 'Greeting',
      headers: { traceparent: '00-1-1-01' },
    });
    expect(rest.id).toBe(id);
    await backend.close();
  });

  it('says that Redis is full, and works again when there is room', async () => {
    const backend = open();
    const [queue, full] = [await declared(backend), await declared(backend)];
    const large = (): Message => ({ ...message(''), content: new Uint8Array(8_000_000) });
    const fill = async (): Promise<void> => {
      for (let count = 0; count < 20; count += 1) await backend.publishToQueue(full, [large()]);
    };
    await expect(fill()).rejects.toMatchObject({ code: 'PUBLISH_FAILED', cause: { code: 'QUEUE_FULL' } });
    await backend.deleteQueue(full);
    await backend.publishToQueue(queue, [message('2')]);
    const [delivery] = (await received(backend, queue, 1)) as [Delivery];
    expect(delivery.message.content).toBe('2');
    await backend.close();
  });

  it('leaves no consumer behind in a group, neither by closing nor by a crash', async () => {
    const backend = open({ leaseMs: 50 });
    const queue = await declared(backend);
    const stream = `{melange}:stream:${queue}`;
    await admin.xgroup('CREATECONSUMER', stream, 'melange', 'crashed');
    const subscription = await backend.subscribe(queue, { maxInFlight: 1 }, () => undefined);
    await vi.waitFor(async () => expect(await consumersOf(stream)).not.toContain('crashed'), 10_000);
    await subscription.close();
    await vi.waitFor(async () => expect(await consumersOf(stream)).toEqual([]), 10_000);
    await backend.close();
  });

  it('takes over all that a process left, though it is dead for long and there is room for one at a time', async () => {
    const backend = open({ leaseMs: 50 });
    const queue = await declared(backend);
    const stream = `{melange}:stream:${queue}`;
    await backend.publishToQueue(queue, ['1', '2', '3', '4', '5'].map(message));
    await admin.xreadgroup('GROUP', 'melange', 'crashed', 'COUNT', 5, 'STREAMS', stream, '>');
    // Until it counts as gone.
    await vi.waitFor(async () => {
      const [[, , , , , idleMs] = []] = (await admin.xinfo('CONSUMERS', stream, 'melange')) as unknown[][];
      expect(idleMs).toBeGreaterThan(500);
    }, 10_000);
    const came: unknown[] = [];
    await backend.subscribe(queue, { maxInFlight: 1 }, (delivery) => {
      came.push(delivery.message.content);
      void delivery.acknowledge();
    });
    await vi.waitFor(() => expect(came).toEqual(['1', '2', '3', '4', '5']), 10_000);
    await backend.close();
  });

  async function consumersOf(stream: string): Promise<string[]> {
    const consumers = (await admin.xinfo('CONSUMERS', stream, 'melange')) as unknown[][];
    return consumers.map((consumer) => String(consumer[1]));
  }

  async function scriptsRun(): Promise<number> {
    const stats = await admin.info('commandstats');
    return Number(/cmdstat_evalsha:calls=(\d+)/.exec(stats)?.[1]);
  }
});

it.skipIf(!isHere)(
  'follows Sentinels to the new primary, where its queues are (skipped as above)',
  async () => {
    const primary = await startRedis();
    const replica = await startRedis({ settings: { replicaof: `127.0.0.1 ${primary.port}` } });
    const sentinel = await startRedis({ sentinel: true });
    const [watch, copy] = [new Redis(sentinel.url), new Redis(replica.url)];
    const sentinels = [{ host: '127.0.0.1', port: sentinel.port }];
    const backend = new RedisStreamsBackend({ redis: { sentinels, name: 'main' }, logger: silentLogger });
    try {
      await watch.call('sentinel', 'monitor', 'main', '127.0.0.1', String(primary.port), '1');
      await watch.call('sentinel', 'set', 'main', 'down-after-milliseconds', '500');
      const queue = await declared(backend);
      await backend.publishToQueue(queue, [message('before')]);
      await vi.waitFor(async () => expect(await copy.xlen(`{melange}:stream:${queue}`)).toBe(1), 20_000);
      const known = async () => String(await watch.call('sentinel', 'replicas', 'main'));
      await vi.waitFor(async () => expect(await known()).toContain(String(replica.port)), 20_000);
      await primary.end('SIGKILL');
      await backend.publishToQueue(queue, [message('after')]);
      const came = await received(backend, queue, 2);
      expect(came.map(({ message: { content } }) => content)).toEqual(['before', 'after']);
    } finally {
      await backend.close();
      for (const client of [watch, copy]) client.disconnect();
      for (const server of [sentinel, replica, primary]) await server.stop();
    }
  },
  90_000,
);

it.each([
  [{ leaseMs: 0 }, 'leaseMs'],
  [{ pollMs: Number.NaN }, 'pollMs'],
  [{ prefix: 'a{b}' }, 'prefix'],
])('refuses options that make no sense: %j', (options, name) => {
  expect(() => new RedisStreamsBackend(options)).toThrow(name);
});
