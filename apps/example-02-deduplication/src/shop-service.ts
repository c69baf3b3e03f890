import { EventEmitter, once } from 'node:events';
import { defineService } from '@melange/service';
import type { Setting } from './billing-service.ts';
import { ChargeOrder, OrderCharged } from './messages.ts';

/** Asks the billing service to charge orders, and learns when they are. */
export function shopService({ backend, cache, queues }: Setting) {
  const paid = new EventEmitter();
  const service = defineService({
    name: 'shop',
    backend,
    cache,
    messages: [ChargeOrder, OrderCharged],
    queues: { [queues.shop]: {} },
    sends: { [queues.billing]: [ChargeOrder] },
    closesResources: false,
  }).on(queues.shop, OrderCharged, ({ orderId }) => {
    console.log(`shop: ${orderId} is paid`);
    paid.emit(orderId);
  });

  /**
   * Resolves when the order is paid and asked for again, as by a job that has not seen the answer. The id is made from
   * the order, so that the second request is a recognisable duplicate.
   */
  async function order(orderId: string, cents: number): Promise<void> {
    const request = new ChargeOrder({ orderId, cents });
    const isPaid = once(paid, orderId);
    await service.send(queues.billing, request, { id: `charge-${orderId}` });
    await isPaid;
    await service.send(queues.billing, request, { id: `charge-${orderId}` });
  }
  return { service, order };
}
