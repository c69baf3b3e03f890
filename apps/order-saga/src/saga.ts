import { type ConsumeContext, consumer, SingleDispatchConsumer } from '@melange/core';
import { DoPayment, OrderResponse, OrderStatus, PaymentDone } from './messages.ts';
import type { Send } from './service.ts';

/** Links the two services, which do not know each other. */
export class OrderSaga extends SingleDispatchConsumer {
  readonly #send: Send;

  constructor(send: Send) {
    super('order-saga');
    this.#send = send;
  }

  @consumer(OrderResponse)
  async askForPayment({ orderId, amount }: OrderResponse, context: ConsumeContext): Promise<void> {
    await this.#send('payments', new DoPayment(orderId, amount), context);
  }

  @consumer(PaymentDone)
  async finish({ orderId }: PaymentDone, context: ConsumeContext): Promise<void> {
    await this.#send('orders', new OrderStatus(orderId, 'completed'), context);
  }
}
