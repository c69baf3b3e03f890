import { MemoryBackend } from '@melange/backend-memory';
import {
  fixedDelays,
  type Message,
  type MessagingBackend,
  type Middleware,
  Reject,
  type Serializer,
  SingleDispatchConsumer,
  silentLogger,
} from '@melange/core';
import { MemoryDeduplicationCache } from '@melange/dedup-memory';
import { type AnyService, defineService, type Service, type ServiceDeclaration } from '@melange/service';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { InvoicePaid, OrderCancelled, OrderPlaced, PayInvoice } from './support/messages.ts';
import { Collected } from './support/promises.ts';
import { RecordingLogger } from './support/recording-logger.ts';

const messages = [OrderPlaced, OrderCancelled, InvoicePaid, PayInvoice] as const;
const services: AnyService[] = [];
afterEach(() => Promise.all(services.splice(0).map((service) => service.stop())));

/** Stopped when the test is over. */
function kept<Kept extends AnyService>(service: Kept): Kept {
  services.push(service);
  return service;
}

/** A service that is put together at run time, as the compiler would refuse it. */
function unchecked(declaration: Partial<ServiceDeclaration>): Service {
  return defineService({
    name: 'billing',
    backend: new MemoryBackend(),
    messages,
    ...declaration,
  } as ServiceDeclaration);
}

/** What arrives in a queue of a backend, acknowledged as it comes. */
async function arriving(backend: MessagingBackend, queue: string): Promise<Collected<Message>> {
  const arrived = new Collected<Message>();
  await backend.subscribe(queue, { maxInFlight: 10 }, (delivery) => {
    arrived.push(delivery.message);
    void delivery.acknowledge();
  });
  return arrived;
}

describe('a service', () => {
  it('declares its topics and queues, and gives each message to its handler', async () => {
    const backend = new MemoryBackend();
    const handled = new Collected<string>();
    const billing = kept(
      defineService({
        name: 'billing',
        backend,
        messages,
        queues: { orders: { topics: ['order-events'], deadLetterQueue: 'orders-dead' } },
        publishes: { 'order-events': [OrderPlaced, OrderCancelled] },
      })
        .on('orders', OrderPlaced, ({ id }) => handled.push(`placed ${id}`))
        .on('orders', OrderCancelled, ({ id }) => handled.push(`cancelled ${id}`)),
    );
    await billing.start();
    expect(await backend.describeQueue('orders')).toMatchObject({ deadLetterQueue: 'orders-dead' });
    await billing.publish('order-events', new OrderPlaced({ id: '1' }));
    await billing.publish('order-events', new OrderCancelled({ id: '2' }));
    expect((await handled.reach(2)).toSorted()).toEqual(['cancelled 2', 'placed 1']);
  });

  it('carries the conversation on in all that its handlers publish and send', async () => {
    const backend = new MemoryBackend();
    await backend.declareQueue('audit', { topics: ['billing-events'] });
    await backend.declareQueue('payments');
    const [audited, sent] = [await arriving(backend, 'audit'), await arriving(backend, 'payments')];
    const told = new Collected<string>();
    const billing = kept(
      defineService({
        name: 'billing',
        backend,
        messages,
        queues: { orders: {} },
        publishes: { 'billing-events': [InvoicePaid] },
        sends: { payments: [PayInvoice], orders: [OrderPlaced] },
      }).on('orders', OrderPlaced, async ({ id }, context) => {
        const { publish, publishBatch, send, sendBatch, correlationId, key, queue } = context;
        told.push(`${correlationId} ${key} ${queue}`);
        await publish('billing-events', new InvoicePaid({ orderId: id }), { key: id });
        await publishBatch('billing-events', [{ value: new InvoicePaid({ orderId: id }), id: 'mine' }]);
        await send('payments', new PayInvoice({ orderId: id }), { headers: { tenant: 'shop' } });
        await sendBatch('payments', [
          { value: new PayInvoice({ orderId: id }), correlationId: 'of its own' },
        ]);
      }),
    );
    await billing.start();
    await billing.send('orders', new OrderPlaced({ id: '1' }), { id: 'm-1', correlationId: 'c-1', key: 'k' });
    const [first, second] = await audited.reach(2);
    const [third, fourth] = await sent.reach(2);
    expect(told.items).toEqual(['c-1 k orders']);
    const carried = { correlationId: 'c-1', causationId: 'm-1' };
    expect(first).toMatchObject({ headers: carried, key: '1', manifest: 'InvoicePaid' });
    expect(second).toMatchObject({ headers: carried, id: 'mine' });
    expect(third?.headers).toEqual({ ...carried, tenant: 'shop' });
    expect(fourth?.headers).toEqual({ ...carried, correlationId: 'of its own' });
  });

  it('refuses to publish what a topic does not carry, which would be filtered away', async () => {
    const billing = kept(unchecked({ publishes: { 'billing-events': [InvoicePaid] } }));
    const refused = { code: 'MESSAGE_INVALID' };
    const copy = { ...new InvoicePaid({ orderId: '1' }) };
    await expect(billing.publish('billing-events', copy)).rejects.toMatchObject(refused);
    await expect(billing.publish('billing-events', new OrderPlaced({ id: '1' }))).rejects.toThrow(
      'Service "billing": "billing-events" carries InvoicePaid, and no OrderPlaced.',
    );
    await expect(billing.publishBatch('billing-events', [{ value: copy }])).rejects.toMatchObject(refused);
    await expect(billing.publish('others', copy)).rejects.toMatchObject({ code: 'CONFIGURATION' });
    await expect(billing.send('others', copy)).rejects.toMatchObject({ code: 'CONFIGURATION' });
  });

  it('processes a message once with a cache, and as often as the retry policy says', async () => {
    const backend = new MemoryBackend();
    const attempts = new Collected<number>();
    const billing = kept(
      defineService({
        name: 'billing',
        backend,
        messages,
        cache: new MemoryDeduplicationCache(),
        queues: { orders: { deadLetterQueue: 'orders-dead', retry: fixedDelays([1]), concurrency: 1 } },
        sends: { orders: [OrderPlaced] },
        logger: silentLogger,
      }).on('orders', OrderPlaced, ({ id }, { attempt }) => {
        if (id === 'bad') throw new Error('not this one');
        attempts.push(attempt);
      }),
    );
    await billing.start();
    const dead = await arriving(backend, 'orders-dead');
    for (const id of ['m-1', 'm-1']) await billing.send('orders', new OrderPlaced({ id: '1' }), { id });
    await billing.send('orders', new OrderPlaced({ id: 'bad' }));
    expect((await dead.reach(1))[0]?.headers).toMatchObject({
      melange_attempts: '2',
      melange_consumer: 'billing',
    });
    expect(attempts.items).toEqual([1]);
    // Counted when the broker has answered, which is after the copy came.
    await vi.waitFor(() =>
      expect(billing.counters().orders).toMatchObject({ duplicates: 1, deadLettered: 1, retried: 1 }),
    );
  });

  it('runs the middleware of the service outside of that of the queue, and attaches consumers', async () => {
    const seen = new Collected<string>();
    const named =
      (name: string): Middleware =>
      async ({ consumer }, next) => {
        seen.push(`${name} ${consumer}`);
        await next();
      };
    const auditor = new SingleDispatchConsumer('auditor').on(OrderPlaced, () => undefined);
    const billing = kept(
      defineService({
        name: 'billing',
        backend: new MemoryBackend(),
        messages,
        middleware: [named('service')],
        queues: { orders: { middleware: [named('queue')], consumers: [auditor] } },
        sends: { orders: [OrderPlaced] },
      }).on('orders', OrderPlaced, () => undefined),
    );
    await billing.start();
    await billing.send('orders', new OrderPlaced({ id: '1' }));
    expect(await seen.reach(4)).toEqual([
      'service billing',
      'queue billing',
      'service auditor',
      'queue auditor',
    ]);
  });

  it('gives handlers a logger that says which message it is about', async () => {
    const logger = new RecordingLogger();
    const billing = kept(
      defineService({
        name: 'billing',
        backend: new MemoryBackend(),
        messages,
        queues: { orders: {} },
        sends: { orders: [OrderPlaced] },
        logger,
      }).on('orders', OrderPlaced, (_, context) => {
        for (const level of ['debug', 'info', 'warn', 'error'] as const)
          context.logger[level](level, { a: 1 });
      }),
    );
    await billing.start();
    await billing.send('orders', new OrderPlaced({ id: '1' }), { id: 'm-1', correlationId: 'c-1' });
    const facts = { queue: 'orders', messageId: 'm-1', attempt: 1, correlationId: 'c-1', a: 1 };
    const levels = ['debug', 'info', 'warn', 'error'];
    expect(await logger.lines.reach(4)).toEqual(levels.map((level) => ({ level, message: level, facts })));
  });

  it('has queues and topics on several brokers, and one topic on all of them under one id', async () => {
    const [rabbit, kafka] = [new MemoryBackend(), new MemoryBackend()];
    await rabbit.declareQueue('of-rabbit', { topics: ['events'] });
    await kafka.declareQueue('of-kafka', { topics: ['events'] });
    const copies = [await arriving(rabbit, 'of-rabbit'), await arriving(kafka, 'of-kafka')] as const;
    const handled = new Collected<string>();
    const billing = kept(
      defineService({
        name: 'billing',
        backend: { default: rabbit, kafka, refunds: kafka },
        messages,
        queues: { orders: {}, audit: { backend: 'kafka' }, refunds: {} },
        publishes: { events: { messages: [InvoicePaid], backend: ['default', 'kafka'] } },
        sends: { orders: [OrderPlaced], audit: { messages: [OrderPlaced], backend: 'kafka' } },
      })
        .on('orders', OrderPlaced, (_, { queue }) => handled.push(queue))
        .on('audit', OrderPlaced, (_, { queue }) => handled.push(queue)),
    );
    await billing.start();
    const exists = async (backend: MessagingBackend, queue: string): Promise<boolean> =>
      (await backend.describeQueue(queue)).exists;
    expect([await exists(rabbit, 'orders'), await exists(kafka, 'orders')]).toEqual([true, false]);
    expect([await exists(rabbit, 'audit'), await exists(kafka, 'audit')]).toEqual([false, true]);
    expect([await exists(rabbit, 'refunds'), await exists(kafka, 'refunds')]).toEqual([false, true]);
    await billing.send('orders', new OrderPlaced({ id: '1' }));
    await billing.send('audit', new OrderPlaced({ id: '1' }));
    expect((await handled.reach(2)).toSorted()).toEqual(['audit', 'orders']);
    const single = await billing.publish('events', new InvoicePaid({ orderId: '1' }));
    const [second] = await billing.publishBatch('events', [{ value: new InvoicePaid({ orderId: '2' }) }]);
    for (const copy of copies) expect((await copy.reach(2)).map(({ id }) => id)).toEqual([single, second]);
  });

  it('takes other serializers than JSON for the classes that are bound to them', async () => {
    const text: Serializer = {
      identifier: 40,
      manifest: () => 'text.order',
      serialize: (value) => (value as OrderPlaced).id,
      deserialize: (content) => new OrderPlaced({ id: String(content) }),
    };
    const backend = new MemoryBackend();
    const handled = new Collected<string>();
    const billing = kept(
      defineService({
        name: 'billing',
        backend,
        messages,
        serializers: { text },
        bindings: [[OrderPlaced, 'text']],
        queues: { orders: { topics: ['events'] } },
        publishes: { events: [OrderPlaced, OrderCancelled] },
      })
        .on('orders', OrderPlaced, ({ id }) => handled.push(id))
        .on('orders', OrderCancelled, ({ id }) => handled.push(id)),
    );
    expect(billing.plan.queues[0]?.filter).toEqual(['text.order', 'OrderCancelled']);
    await billing.start();
    await billing.publish('events', new OrderPlaced({ id: 'as text' }));
    await billing.publish('events', new OrderCancelled({ id: 'as JSON' }));
    expect(await handled.reach(2)).toEqual(['as text', 'as JSON']);
  });
});

it('hands out a dispatcher of a queue, on another backend, for those who run it themselves', async () => {
  const other = new MemoryBackend();
  await other.declareQueue('orders', { deadLetterQueue: 'dead' });
  const handled = new Collected<string>();
  const billing = kept(unchecked({ queues: { orders: {} }, logger: silentLogger }));
  billing.on('orders', OrderPlaced, ({ id }) => {
    handled.push(id);
    if (id === 'bad') throw new Reject('never');
  });
  const dispatcher = billing.dispatcherFor('orders', { backend: other });
  const content = (id: string): Message => ({
    id,
    content: JSON.stringify({ id }),
    manifest: 'OrderPlaced',
    serializerId: 1,
    key: undefined,
    headers: {},
    publishedAt: undefined,
  });
  await other.publishToQueue('orders', [content('1'), content('bad')]);
  await dispatcher.consumeEvent('orders');
  expect(handled.items).toEqual(['1', 'bad']);
  expect(dispatcher.counters).toMatchObject({ acknowledged: 1, deadLettered: 1 });
});
