import { type AnyService, defineService } from '@melange/service';
import { OrderResponse, OrderStatus, PlaceOrder } from './messages.ts';
import { declarationOf, following, type Setting } from './service.ts';

/** Takes orders, and learns how they ended. */
export function orderService(setting: Setting): AnyService {
  const { queues, ledger } = setting;
  return defineService({
    ...declarationOf('orders', setting),
    name: 'order-service',
    messages: [PlaceOrder, OrderResponse, OrderStatus],
    sends: { [queues.saga]: { messages: [OrderResponse], backend: 'saga' } },
  })
    .on(queues.orders, PlaceOrder, async ({ orderId, amount }, context) => {
      const response = new OrderResponse(orderId, amount);
      await context.send(queues.saga, response, following(context, response));
    })
    .on(queues.orders, OrderStatus, ({ orderId }) => ledger.completed(orderId));
}
