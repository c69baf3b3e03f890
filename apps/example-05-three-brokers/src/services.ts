import type { MessagingBackend } from '@melange/core';
import { defineService } from '@melange/service';
import { PayOrder, PlaceOrder, ShipOrder } from './messages.ts';

/** Name of the queue of each service. */
export type Queues = Readonly<Record<'orders' | 'payments' | 'shipping', string>>;

/** The three services. A queue lives on the broker of its own name: they know nothing else of brokers. */
export function fleet(
  queues: Queues,
  brokers: Readonly<Record<string, MessagingBackend>>,
  onShipped: () => void,
) {
  const told = (queue: string, text: string) => console.log(`${brokers[queue]?.name}: ${text}`);
  const shared = { backend: brokers, closesResources: false };

  const orders = defineService({
    ...shared,
    name: 'orders',
    messages: [PlaceOrder, PayOrder],
    queues: { [queues.orders]: {} },
    sends: { [queues.payments]: [PayOrder] },
  }).on(queues.orders, PlaceOrder, async ({ orderId }, { send }) => {
    told(queues.orders, `${orderId} is placed`);
    await send(queues.payments, new PayOrder({ orderId }));
  });

  const payments = defineService({
    ...shared,
    name: 'payments',
    messages: [PayOrder, ShipOrder],
    queues: { [queues.payments]: {} },
    sends: { [queues.shipping]: [ShipOrder] },
  }).on(queues.payments, PayOrder, async ({ orderId }, { send }) => {
    told(queues.payments, `${orderId} is paid`);
    await send(queues.shipping, new ShipOrder({ orderId }));
  });

  const shipping = defineService({
    ...shared,
    name: 'shipping',
    messages: [ShipOrder],
    queues: { [queues.shipping]: {} },
  }).on(queues.shipping, ShipOrder, ({ orderId }) => {
    told(queues.shipping, `${orderId} is shipped`);
    onShipped();
  });

  const customer = defineService({
    ...shared,
    name: 'customer',
    messages: [PlaceOrder],
    sends: { [queues.orders]: [PlaceOrder] },
  });
  return { services: [orders, payments, shipping], customer };
}
