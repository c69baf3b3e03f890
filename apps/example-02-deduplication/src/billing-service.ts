import {
  type MessageDispatcher,
  type MessagingBackend,
  QueuePublisher,
  type SerializerRegistry,
  SimpleMessageDispatcher,
  SingleDispatchConsumer,
} from '@melange/core';
import type { RedisDeduplicationCache } from '@melange/dedup-redis';
import { ChargeOrder, OrderCharged } from './messages.ts';

/** What a service is made of. */
export interface Service {
  readonly backend: MessagingBackend;
  readonly serializers: SerializerRegistry;
  /** Shared by all processes of the services. */
  readonly cache: RedisDeduplicationCache;
}

/** Charges each order once, however often it is asked to, and tells the shop. */
export function billingDispatcher({ backend, serializers, cache }: Service, shop: string): MessageDispatcher {
  const publisher = new QueuePublisher({ backend, serializers });
  const billing = new SingleDispatchConsumer('billing').on(ChargeOrder, async ({ orderId, cents }) => {
    console.log(`billing: ${orderId} is charged ${cents} cents`);
    // An id made from the change: a second reply for one order would be a duplicate for the shop.
    await publisher.publish(shop, new OrderCharged(orderId), { id: `charged-${orderId}` });
  });
  return new SimpleMessageDispatcher(billing, { backend, serializers, cache });
}
