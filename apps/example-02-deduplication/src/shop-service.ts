import {
  type MessageDispatcher,
  QueuePublisher,
  SimpleMessageDispatcher,
  SingleDispatchConsumer,
} from '@melange/core';
import type { Service } from './billing-service.ts';
import { ChargeOrder, OrderCharged } from './messages.ts';

/** Asks the billing service to charge orders, and learns when they are. */
export class Shop {
  readonly dispatcher: MessageDispatcher;
  readonly #publisher: QueuePublisher;
  readonly #billing: string;
  readonly #waiting = new Map<string, () => void>();

  constructor({ backend, serializers, cache }: Service, billing: string) {
    this.#publisher = new QueuePublisher({ backend, serializers });
    this.#billing = billing;
    const consumer = new SingleDispatchConsumer('shop').on(OrderCharged, ({ orderId }) => {
      console.log(`shop: ${orderId} is paid`);
      this.#waiting.get(orderId)?.();
    });
    this.dispatcher = new SimpleMessageDispatcher(consumer, { backend, serializers, cache });
  }

  /**
   * Resolves when the order is paid and asked for again, as by a job that has not seen the answer. The id is made from
   * the order, so that the second request is a recognisable duplicate.
   */
  async order(orderId: string, cents: number): Promise<void> {
    const request = new ChargeOrder(orderId, cents);
    const paid = new Promise<void>((resolve) => this.#waiting.set(orderId, resolve));
    await this.#publisher.publish(this.#billing, request, { id: `charge-${orderId}` });
    await paid;
    await this.#publisher.publish(this.#billing, request, { id: `charge-${orderId}` });
  }
}
