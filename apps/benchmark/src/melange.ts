import {
  MessageDispatcher,
  type MessagingBackend,
  QueuePublisher,
  SerializerRegistry,
  SingleDispatchConsumer,
} from '@melange/core';
import { JsonSerializer } from '@melange/serializer-json';
import type { Meter, Task } from './contestant.ts';
import { inFlight } from './in-flight.ts';
import { handle, OrderPlaced } from './order.ts';

/** Typed JSON, as an application has it. */
export function serializersOfOrders(): SerializerRegistry {
  return new SerializerRegistry({
    serializers: { json: new JsonSerializer([OrderPlaced]) },
    default: 'json',
  });
}

/** Consumes the queue until the meter has ended: a typed handler, everything at its default but the concurrency. */
export async function consumeOrders(
  backend: MessagingBackend,
  { queue, inFlight: concurrency, parameters }: Task,
  meter: Meter,
  ordering: 'none' | 'key' = 'none',
): Promise<void> {
  const dispatcher = new MessageDispatcher({
    backend,
    serializers: serializersOfOrders(),
    concurrency,
    ordering,
  });
  const orders = new SingleDispatchConsumer('orders').on(OrderPlaced, (order) =>
    handle(order, parameters.handlerMs),
  );
  dispatcher.attachConsumer(orders);
  const consuming = dispatcher.consumeLoop(queue, { afterConsume: () => meter.handled() });
  await Promise.race([meter.ended, consuming]);
  await dispatcher.close();
  await consuming;
}

/** Publishes to the queue by single calls, as a handler of requests would. */
export async function publishOrders(
  backend: MessagingBackend,
  { queue, warmUp, messages, inFlight: limit }: Task,
  meter: Meter,
): Promise<void> {
  const publisher = new QueuePublisher({ backend, serializers: serializersOfOrders() });
  const publish = (index: number): Promise<string> => publisher.publish(queue, new OrderPlaced(index));
  await inFlight(warmUp, limit, publish);
  meter.begin();
  await inFlight(messages, limit, publish);
  meter.end();
}
