import { MemoryBackend } from '@melange/backend-memory';
import { type Capabilities, defineMessage, type MessageClass, type MessagingBackend } from '@melange/core';
import { type AnyService, defineService, type Service, type ServiceDeclaration } from '@melange/service';
import { z } from 'zod';

// Checked by `pnpm typecheck`: each `@ts-expect-error` is an error that must be there.

class OrderPlaced extends defineMessage('OrderPlaced', z.object({ id: z.string() })) {}
class OrderShipped extends defineMessage('OrderShipped', z.object({ id: z.string() })) {}
class InvoicePaid extends defineMessage('InvoicePaid', z.object({ id: z.string() })) {}
class PayInvoice extends defineMessage('PayInvoice', z.object({ amount: z.number() })) {}
class Stranger extends defineMessage('Stranger', z.object({ at: z.string() })) {}
class Plain {
  readonly total: number = 0;
}
class AlsoPlain {
  readonly total: number = 0;
}
abstract class Event {
  abstract readonly happenedAt: string;
}
class Happened extends Event {
  readonly happenedAt: string = '';
}

declare const withoutDelay: MessagingBackend<
  Omit<Capabilities, 'delayedDelivery'> & { delayedDelivery: false }
>;
const backend = new MemoryBackend();

const billing = defineService({
  name: 'billing',
  backend,
  messages: [OrderPlaced, OrderShipped, InvoicePaid, PayInvoice, Plain, AlsoPlain, Happened],
  queues: {
    orders: { topics: ['order-events'], deadLetterQueue: 'orders-dead', concurrency: 20, ordering: 'key' },
    refunds: {},
  },
  publishes: { 'billing-events': [InvoicePaid, OrderShipped], plain: [Plain] },
  sends: { payments: [PayInvoice] },
});

// What a handler is given follows from the declaration.
const handling = billing
  .on('orders', OrderPlaced, async (order, { publish, send, signal, logger, correlationId, queue }) => {
    const id: string = order.id;
    await publish('billing-events', new InvoicePaid({ id }), { key: id });
    await send('payments', new PayInvoice({ amount: 1 }), { delayMs: 1_000 });
    logger.info(correlationId, { aborted: signal.aborted, queue: queue.length });
    // @ts-expect-error a topic that the service does not publish to
    await publish('billing-event', new InvoicePaid({ id }));
    // @ts-expect-error a message that the topic does not carry, though it has the same fields
    await publish('billing-events', order);
    // @ts-expect-error a copy, which is a plain object
    await publish('billing-events', { ...new InvoicePaid({ id }) });
    // @ts-expect-error a queue that the service does not send to
    await send('orders', new PayInvoice({ amount: 1 }));
    // @ts-expect-error a message that is not for the queue
    await send('payments', new InvoicePaid({ id }));
    // @ts-expect-error a topic delays nothing
    await publish('billing-events', new InvoicePaid({ id }), { delayMs: 1 });
  })
  .on('orders', OrderShipped, (order) => void order.id.length)
  .on('refunds', OrderPlaced, (order) => void order.id.length);

// @ts-expect-error a queue that is not declared
billing.on('order', OrderPlaced, () => undefined);
// @ts-expect-error a class that is not among the messages
billing.on('orders', Stranger, () => undefined);
// @ts-expect-error a handler of another class
billing.on('orders', OrderPlaced, (order: PayInvoice) => void order);
// @ts-expect-error a manifest that is handled on this queue already
handling.on('orders', OrderPlaced, () => undefined);
// @ts-expect-error on the other queue too
handling.on('refunds', OrderPlaced, () => undefined);
handling.on('refunds', OrderShipped, () => undefined);
// Classes without a manifest are not taken for each other, though they have the same fields.
billing.on('orders', Plain, () => undefined).on('orders', AlsoPlain, () => undefined);
// A base class handles all that have no handler of their own.
billing.on('orders', Event, (event) => void event.happenedAt);

export async function outside(): Promise<void> {
  await billing.publish('billing-events', new InvoicePaid({ id: '1' }), { correlationId: 'c-1' });
  await billing.publishBatch('billing-events', [{ value: new InvoicePaid({ id: '1' }), key: 'a' }]);
  // @ts-expect-error a message that the topic does not carry
  await billing.publishBatch('billing-events', [{ value: new OrderPlaced({ id: '1' }) }]);
  // @ts-expect-error a message that is not for the queue
  await billing.sendBatch('payments', [{ value: new OrderPlaced({ id: '1' }) }]);
}

const common = { name: 'x', backend, messages: [OrderPlaced] as const };
defineService({
  ...common,
  queues: {
    // @ts-expect-error an option that there is not
    orders: { deadLeterQueue: 'orders-dead' },
  },
});
// @ts-expect-error an option that there is not
defineService({ ...common, queue: {} });
// @ts-expect-error a topic carries a class that is not among the messages
defineService({ ...common, publishes: { events: [Stranger] } });
// @ts-expect-error a queue is sent a class that is not among the messages
defineService({ ...common, sends: { payments: { messages: [Stranger] } } });
// @ts-expect-error one backend has no name
defineService({ ...common, queues: { orders: { backend: 'main' } } });
// @ts-expect-error nothing that orders
defineService({ ...common, queues: { orders: { ordering: 'keys' } } });

// Of several backends each queue and topic has one: by its name, as it says, or the default.
const several = { ...common, backend: { orders: backend, kafka: withoutDelay } };
const placed = defineService({
  ...several,
  queues: { orders: {}, audit: { backend: 'kafka' } },
  publishes: { events: { messages: [OrderPlaced], backend: ['orders', 'kafka'] } },
  sends: { orders: [OrderPlaced], later: { messages: [OrderPlaced], backend: 'kafka' } },
});
defineService({ ...common, backend: { default: backend, kafka: withoutDelay }, queues: { audit: {} } });
// @ts-expect-error nobody says where the queue is
defineService({ ...several, queues: { audit: {} } });
// @ts-expect-error nobody says where the topic is
defineService({ ...several, publishes: { events: [OrderPlaced] } });
// @ts-expect-error a backend that there is not
defineService({ ...several, queues: { audit: { backend: 'kafak' } } });

export async function delayed(): Promise<void> {
  await placed.send('orders', new OrderPlaced({ id: '1' }), { delayMs: 1 });
  // @ts-expect-error the broker of this queue cannot delay
  await placed.send('later', new OrderPlaced({ id: '1' }), { delayMs: 1 });
}

// Queues whose names are made at run time are as many as they are.
declare const name: string;
const named = defineService({ ...common, queues: { [`${name}-1`]: {}, [`${name}-2`]: {} } });
named.on(`${name}-1`, OrderPlaced, () => undefined).on(`${name}-2`, OrderPlaced, () => undefined);

// A service that is put together at run time is of any shape, and any service is one to those who take all.
declare const declaration: ServiceDeclaration;
declare const messageClass: MessageClass<{ readonly total: number }>;
const dynamic: Service = defineService(declaration);
dynamic.on('any', messageClass, (message) => void message.total);
export const any: readonly AnyService[] = [dynamic, billing, handling, placed];
