import { randomUUID } from 'node:crypto';
import { MemoryBackend } from '@melange/backend-memory';
import { RabbitMqBackend } from '@melange/backend-rabbitmq';
import { TcpProxy } from '@melange/conformance';
import { BrokerUnavailableError, type MessagingBackend, silentLogger } from '@melange/core';
import { MemoryDeduplicationCache } from '@melange/dedup-memory';
import { defineService } from '@melange/service';
import { describe, expect, it } from 'vitest';
import { VirtualClock } from '../src/testing/virtual-clock.ts';
import { untilThere } from '../src/until-there.ts';
import { InvoicePaid, OrderPlaced } from './support/messages.ts';
import { Collected, gate } from './support/promises.ts';
import { RecordingLogger } from './support/recording-logger.ts';

const { RABBITMQ_URL: url } = process.env;

/** The backend, with some of its methods replaced. */
function otherwise(backend: MessagingBackend, methods: Partial<MessagingBackend>): MessagingBackend {
  return new Proxy(backend, {
    get: (target, name) => {
      const value: unknown = methods[name as keyof MessagingBackend] ?? Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

const messages = [OrderPlaced, InvoicePaid] as const;

describe('start', () => {
  it.skipIf(url === undefined)(
    'waits for a broker that is away, while queues of another broker are consumed (skipped without RABBITMQ_URL)',
    async () => {
      const { hostname, port, username, password } = new URL(url as string);
      await using proxy = await TcpProxy.start({ host: hostname, port: Number(port || 5672) });
      await proxy.refuse();
      const { address } = proxy;
      const login = username === '' ? '' : `${username}:${password}@`;
      const rabbit = new RabbitMqBackend({
        url: `amqp://${login}${address.host}:${address.port}`,
        logger: silentLogger,
      });
      const logger = new RecordingLogger();
      const handled = new Collected<string>();
      const queue = `service-start-${randomUUID()}`;
      const billing = defineService({
        name: 'billing',
        backend: { default: new MemoryBackend(), rabbit },
        messages,
        queues: { orders: {}, [queue]: { backend: 'rabbit' } },
        sends: { orders: [OrderPlaced], [queue]: { messages: [OrderPlaced], backend: 'rabbit' } },
        logger,
      })
        .on('orders', OrderPlaced, ({ id }) => handled.push(`memory ${id}`))
        .on(queue, OrderPlaced, ({ id }) => handled.push(`rabbit ${id}`));
      const starting = billing.start();
      await logger.lines.reach(1);
      expect(logger.lines.items[0]).toMatchObject({ level: 'warn' });
      expect(logger.lines.items[0]?.message).toMatch(/^waiting for rabbitmq \(backend "rabbit"\)/);
      await billing.send('orders', new OrderPlaced({ id: '1' }));
      await handled.reach(1);
      expect(await billing.health()).toMatchObject({ status: 'unhealthy' });
      await proxy.accept();
      await starting;
      expect(await billing.health()).toMatchObject({ status: 'healthy' });
      await billing.send(queue, new OrderPlaced({ id: '2' }));
      expect(await handled.reach(2)).toEqual(['memory 1', 'rabbit 2']);
      expect(logger.lines.items.at(-1)?.message).toMatch(/^rabbitmq .* is there, after/);
      await rabbit.deleteQueue(queue);
      await billing.stop();
    },
  );

  it('with failFast rejects, and leaves nothing open', async () => {
    const memory = new MemoryBackend();
    const backend = otherwise(memory, {
      declareQueue: () => Promise.reject(new BrokerUnavailableError('The broker is away.')),
    });
    const billing = defineService({ name: 'billing', backend, messages, queues: { orders: {} } });
    await expect(billing.start({ failFast: true })).rejects.toMatchObject({ code: 'BROKER_UNAVAILABLE' });
    await billing.ended;
    expect(await memory.health()).toMatchObject({ detail: 'closed' });
    await expect(billing.start()).rejects.toMatchObject({ code: 'CLOSED' });
  });

  it('ends its wait when its signal is aborted, or the service stopped', async () => {
    const away = (): MessagingBackend =>
      otherwise(new MemoryBackend(), {
        declareQueue: () => Promise.reject(new BrokerUnavailableError('The broker is away.')),
      });
    const waiting = (logger: RecordingLogger) =>
      defineService({ name: 'billing', backend: away(), messages, queues: { orders: {} }, logger });
    const [first, second] = [new RecordingLogger(), new RecordingLogger()];
    const reason = new Error('enough');
    const asked = new AbortController();
    const starting = waiting(first).start({ signal: asked.signal });
    await first.lines.reach(1);
    asked.abort(reason);
    await expect(starting).rejects.toBe(reason);

    const service = waiting(second);
    const startingToo = service.start();
    startingToo.catch(() => undefined);
    await second.lines.reach(1);
    await service.stop();
    await expect(startingToo).rejects.toMatchObject({ code: 'CLOSED' });
  });

  it('subscribes again when the broker goes away between the declaration and the subscription', async () => {
    const memory = new MemoryBackend();
    let subscriptions = 0;
    const backend = otherwise(memory, {
      subscribe: (queue, options, receive) => {
        subscriptions += 1;
        if (subscriptions === 1) return Promise.reject(new BrokerUnavailableError('The broker is away.'));
        return memory.subscribe(queue, options, receive);
      },
    });
    const handled = new Collected<string>();
    const billing = defineService({
      name: 'billing',
      backend,
      messages,
      queues: { orders: {} },
      sends: { orders: [OrderPlaced] },
      logger: silentLogger,
    }).on('orders', OrderPlaced, ({ id }) => handled.push(id));
    await billing.start();
    await billing.send('orders', new OrderPlaced({ id: '1' }));
    await handled.reach(1);
    await billing.stop();
  });

  it('is over when a queue is given up for good, and says so', async () => {
    const memory = new MemoryBackend();
    const failure = new Error('no rights');
    const backend = otherwise(memory, { subscribe: () => Promise.reject(failure) });
    const billing = defineService({
      name: 'billing',
      backend,
      messages,
      queues: { orders: {} },
      logger: silentLogger,
    }).on('orders', OrderPlaced, () => undefined);
    await billing.start();
    await expect(billing.ended).rejects.toBe(failure);
    expect(await billing.health()).toMatchObject({
      status: 'unhealthy',
      queues: { orders: { status: 'unhealthy' } },
    });
    await billing.stop();
  });
});

describe('stop', () => {
  const opened = async (deadlineMs?: number, closesResources?: boolean) => {
    const order: string[] = [];
    const memory = new MemoryBackend();
    const cache = new MemoryDeduplicationCache();
    const close = cache.close.bind(cache);
    cache.close = () => {
      order.push('cache');
      close();
    };
    const backend = otherwise(memory, {
      close: async () => {
        order.push('backend');
        await memory.close();
      },
    });
    const [begun, finish] = [gate(), gate()];
    const signals: AbortSignal[] = [];
    const billing = defineService({
      name: 'billing',
      backend,
      messages,
      cache,
      queues: { orders: { topics: ['events'] } },
      publishes: { events: [InvoicePaid, OrderPlaced] },
      logger: silentLogger,
      ...(deadlineMs !== undefined && { deadlineMs }),
      ...(closesResources !== undefined && { closesResources }),
    }).on('orders', OrderPlaced, async ({ id }, { publish, signal }) => {
      signals.push(signal);
      begun.open();
      await finish.passed;
      await publish('events', new InvoicePaid({ orderId: id }));
      order.push(`handled ${id}`);
    });
    await billing.start();
    await billing.publish('events', new OrderPlaced({ id: '1' }));
    await begun.passed;
    return { billing, order, finish, signals, memory };
  };

  it('waits for handlers, which publish until they end, then closes the backend and then the cache', async () => {
    const { billing, order, finish } = await opened();
    const stopping = billing.stop();
    const again = billing.stop();
    expect(await billing.health()).toMatchObject({ status: 'unhealthy', detail: 'service: stopping' });
    expect(order).toEqual([]);
    finish.open();
    await Promise.all([stopping, again, billing.ended]);
    expect(order).toEqual(['handled 1', 'backend', 'cache']);
  });

  it.each([
    ['of the service', 20, {}],
    ['that it is given', undefined, { deadlineMs: 20 }],
  ])('aborts the signals of handlers at the deadline %s, and ends', async (_, deadlineMs, options) => {
    const { billing, order, signals } = await opened(deadlineMs);
    await billing.stop(options);
    expect(signals.map(({ reason }) => reason.reason)).toEqual(['shutdown']);
    expect(order).toEqual(['backend', 'cache']);
  });

  it('leaves open what belongs to others', async () => {
    const { billing, order, finish, memory } = await opened(undefined, false);
    finish.open();
    await billing.stop();
    expect(order).toEqual(['handled 1']);
    expect((await memory.describeQueue('orders')).exists).toBe(true);
  });
});

describe('waiting for a broker', () => {
  it('logs its first failure, then one line in 30 s, and backs off up to 5 s', async () => {
    const clock = new VirtualClock();
    const logger = new RecordingLogger();
    const tries: number[] = [];
    const { signal } = new AbortController();
    const waiting = untilThere(
      async () => {
        tries.push(clock.monotonicNow());
        if (clock.monotonicNow() < 70_000) throw new BrokerUnavailableError('The broker is away.');
      },
      { broker: 'the broker', logger, clock, signal },
    );
    let isOver = false;
    void waiting.then(() => {
      isOver = true;
    });
    while (!isOver) {
      clock.fireNext(Number.POSITIVE_INFINITY);
      await new Promise((resolve) => setImmediate(resolve));
    }
    const texts = logger.lines.items.map(({ message }) => message);
    expect(texts).toHaveLength(4);
    expect(texts[0]).toMatch(/^waiting for the broker, for 0 s now: /);
    expect(texts[1]).toMatch(/^waiting for the broker, for 3\d s now: /);
    expect(texts[2]).toMatch(/^waiting for the broker, for 6\d s now: /);
    expect(texts[3]).toMatch(/^the broker is there, after 7\d s$/);
    const pauses = tries.slice(1).map((at, index) => at - (tries[index] ?? 0));
    expect(pauses.slice(0, 7)).toEqual([100, 200, 400, 800, 1_600, 3_200, 5_000]);
    expect(Math.max(...pauses)).toBe(5_000);
  });
});
