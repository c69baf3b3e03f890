import { type ConsumeContext, consumer, SingleDispatchConsumer } from '@melange/core';
import type { Ledger } from './ledger.ts';
import { OrderResponse, OrderStatus, PlaceOrder } from './messages.ts';
import type { Send } from './service.ts';

/** Takes orders, and learns how they ended. */
export class OrderService extends SingleDispatchConsumer {
  readonly #send: Send;
  readonly #ledger: Ledger;

  constructor(send: Send, ledger: Ledger) {
    super('order-service');
    this.#send = send;
    this.#ledger = ledger;
  }

  @consumer(PlaceOrder)
  async place({ orderId, amount }: PlaceOrder, context: ConsumeContext): Promise<void> {
    await this.#send('saga', new OrderResponse(orderId, amount), context);
  }

  @consumer(OrderStatus)
  complete({ orderId }: OrderStatus): void {
    this.#ledger.completed(orderId);
  }
}
