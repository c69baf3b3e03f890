import type { DeduplicationCache, MessagingBackend } from '@melange/core';
import { defineService } from '@melange/service';
import { ChargeOrder, OrderCharged } from './messages.ts';

/** What both services are given. */
export interface Setting {
  readonly backend: MessagingBackend;
  /** Shared by all processes of the services. */
  readonly cache: DeduplicationCache;
  /** Name of the queue of each service. */
  readonly queues: { readonly billing: string; readonly shop: string };
}

/** Charges each order once, however often it is asked to, and tells the shop. */
export function billingService({ backend, cache, queues }: Setting) {
  return defineService({
    name: 'billing',
    backend,
    cache,
    messages: [ChargeOrder, OrderCharged],
    queues: { [queues.billing]: { deadLetterQueue: `${queues.billing}-dead` } },
    sends: { [queues.shop]: [OrderCharged] },
    closesResources: false, // the shop uses them too, in this process
  }).on(queues.billing, ChargeOrder, async ({ orderId, cents }, { send }) => {
    console.log(`billing: ${orderId} is charged ${cents} cents`);
    // An id made from the change: a second reply for one order would be a duplicate for the shop.
    await send(queues.shop, new OrderCharged({ orderId }), { id: `charged-${orderId}` });
  });
}
