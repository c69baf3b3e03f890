import { type AnyService, defineService } from '@melange/service';
import { DoPayment, OrderResponse, OrderStatus, PaymentDone } from './messages.ts';
import { declarationOf, following, type Setting } from './service.ts';

/** Links the two services, which do not know each other. */
export function orderSaga(setting: Setting): AnyService {
  const { queues } = setting;
  return defineService({
    ...declarationOf('saga', setting),
    name: 'order-saga',
    messages: [OrderResponse, DoPayment, PaymentDone, OrderStatus],
    sends: {
      [queues.payments]: { messages: [DoPayment], backend: 'payments' as const },
      [queues.orders]: { messages: [OrderStatus], backend: 'orders' as const },
    },
  })
    .on(queues.saga, OrderResponse, async ({ orderId, amount }, context) => {
      const payment = new DoPayment(orderId, amount);
      await context.send(queues.payments, payment, following(context, payment));
    })
    .on(queues.saga, PaymentDone, async ({ orderId }, context) => {
      const status = new OrderStatus(orderId, 'completed');
      await context.send(queues.orders, status, following(context, status));
    });
}
