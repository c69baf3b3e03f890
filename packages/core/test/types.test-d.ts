import { MemoryBackend } from '@melange/backend-memory';
import { RabbitMqBackend } from '@melange/backend-rabbitmq';
import {
  type BrowsableBackend,
  type Capabilities,
  type ConsumeContext,
  consumer,
  defineMessage,
  isBrowsable,
  isReplayable,
  lift,
  limitPublisher,
  type MessagingBackend,
  MessagingBackendFactory,
  QueuePublisher,
  type ReplayableBackend,
  SerializerRegistry,
  SingleDispatchConsumer,
  type StandardSchema,
  TopicPublisher,
} from '@melange/core';
import { JsonSerializer } from '@melange/serializer-json';
import { type } from 'arktype';
import * as v from 'valibot';
import { z } from 'zod';

// Checked by `pnpm typecheck`: each `@ts-expect-error` is an error that must be there.

declare const schema: StandardSchema<unknown, { orderId: string }>;
declare const withoutDelay: MessagingBackend<
  Omit<Capabilities, 'delayedDelivery'> & { delayedDelivery: false }
>;

class OrderPlaced extends defineMessage('OrderPlaced', schema) {}
class Payment {
  readonly amount: number = 0;
}

const json = new JsonSerializer([OrderPlaced, Payment]);
const serializers = new SerializerRegistry({ serializers: { json }, default: 'json' });

export const orderId: string = new OrderPlaced({ orderId: '1' }).orderId;
// @ts-expect-error the fields follow from the schema
new OrderPlaced({ orderId: 1 });

new SingleDispatchConsumer('a').on(OrderPlaced, (message) => void message.orderId.length);
// @ts-expect-error a handler of another type
new SingleDispatchConsumer('b').on(OrderPlaced, (message: Payment) => void message);

export class Billing extends SingleDispatchConsumer {
  @consumer(OrderPlaced)
  right(_message: OrderPlaced, _context: ConsumeContext): void {}

  // @ts-expect-error a method of another type
  @consumer(OrderPlaced)
  wrong(_message: Payment): void {}
}

// @ts-expect-error a binding to a serializer that is not there
new SerializerRegistry({ serializers: { json }, bindings: [[Payment, 'protobuf']], default: 'json' });
// @ts-expect-error a default that is not there
new SerializerRegistry({ serializers: { json }, default: 'protobuf' });

export async function publish(): Promise<void> {
  const publisher = new QueuePublisher({ backend: new MemoryBackend(), serializers });
  await publisher.publish('orders', new Payment(), { delayMs: 10, key: 'a' });
  // @ts-expect-error a promise that nobody awaited is no message
  await publisher.publish('orders', Promise.resolve(new Payment()));
  // @ts-expect-error a function is no message
  await publisher.publish('orders', () => new Payment());
  // @ts-expect-error headers are text
  await publisher.publish('orders', new Payment(), { headers: { amount: 1 } });
  const undelayed = new QueuePublisher({ backend: withoutDelay, serializers });
  await undelayed.publish('orders', new Payment(), { key: 'a' });
  // @ts-expect-error this broker cannot delay
  await undelayed.publish('orders', new Payment(), { delayMs: 10 });
}

export async function replay(replayable: ReplayableBackend, any: MessagingBackend): Promise<void> {
  await replayable.rewindQueue('orders', { to: 'earliest' });
  await replayable.rewindQueue('orders', { to: new Date(0) });
  if (isReplayable(any)) await any.rewindQueue('orders', { to: 'earliest' });
  // @ts-expect-error nobody asked whether this broker can replay
  await any.rewindQueue('orders', { to: 'earliest' });
  // @ts-expect-error this broker cannot replay
  await new MemoryBackend().rewindQueue('orders', { to: 'earliest' });
  // @ts-expect-error nor be taken for one that can
  new MemoryBackend() satisfies ReplayableBackend;
}

export async function browse(browsable: BrowsableBackend, any: MessagingBackend): Promise<void> {
  await browsable.browseQueue('orders', { limit: 10, after: 'next' });
  await new MemoryBackend().browseQueue('orders');
  if (isBrowsable(any)) await any.browseQueue('orders');
  // @ts-expect-error nobody asked whether this broker can be browsed
  await any.browseQueue('orders');
  // @ts-expect-error this broker cannot be browsed
  await new RabbitMqBackend({ url: 'amqp://localhost' }).browseQueue('orders');
}

// Fields follow from the schema of any library, what it makes of them included.
class OfZod extends defineMessage('OfZod', z.object({ at: z.string().transform(() => new Date()) })) {}
class OfValibot extends defineMessage('OfValibot', v.object({ total: v.number() })) {}
class OfArkType extends defineMessage('OfArkType', type({ total: 'number' })) {}
export const at: Date = new OfZod({ at: new Date() }).at;
export const totals: number[] = [new OfValibot({ total: 1 }).total, new OfArkType({ total: 1 }).total];
// @ts-expect-error text where valibot's schema has a number
new OfValibot({ total: '1' });
// @ts-expect-error text where arktype's schema has a number
new OfArkType({ total: '1' });
new SingleDispatchConsumer('c').on(OfZod, (message) => void message.at.getTime());
// @ts-expect-error a handler of another type
new SingleDispatchConsumer('d').on(OfArkType, (message: OfZod) => void message);

const earlier = z.object({ id: z.string() });
const present = z.object({ orderId: z.string(), total: z.string().transform(Number) });
defineMessage('Order', present, {
  alsoReads: [lift('Order.v1', earlier, ({ id }) => ({ orderId: id, total: '0' }))],
});
defineMessage('Order', present, {
  // @ts-expect-error a lift that leaves out a field of what the present schema takes
  alsoReads: [lift('Order.v1', earlier, ({ id }) => ({ orderId: id }))],
});
// @ts-expect-error a field that the earlier form does not have
lift('Order.v1', earlier, ({ orderId }) => ({ orderId, total: '0' }));

// An instance is of its manifest: neither fields without a class nor those of another message pass for it.
class OrderShipped extends defineMessage('OrderShipped', schema) {}
const placed: OrderPlaced = new OrderPlaced({ orderId: '1' });
export const manifest: 'OrderPlaced' = OrderPlaced.manifest;
// @ts-expect-error a plain object with the same fields
export const plain: OrderPlaced = { orderId: '1' };
// @ts-expect-error a copy, which is a plain object
export const copy: OrderPlaced = { ...placed };
// @ts-expect-error another message with the same fields
export const shipped: OrderShipped = placed;

// A publisher that is limited to the messages of its topic.
export async function limited(): Promise<void> {
  const topics = new TopicPublisher({ backend: new MemoryBackend(), serializers });
  const events = limitPublisher(topics, 'order-events', [OrderPlaced, Payment]);
  await events.publish(new OrderPlaced({ orderId: '1' }), { key: '1' });
  // @ts-expect-error a copy, which is a plain object
  await events.publish({ ...new OrderPlaced({ orderId: '1' }) });
  // @ts-expect-error a topic delays nothing
  await events.publish(new Payment(), { delayMs: 1 });
  const undelayed = limitPublisher(new QueuePublisher({ backend: withoutDelay, serializers }), 'orders', [
    Payment,
  ]);
  // @ts-expect-error this broker cannot delay
  await undelayed.publish(new Payment(), { delayMs: 1 });
}

// `initQueue` takes the backend's own settings as well.
export async function settings(): Promise<void> {
  const rabbit = new MessagingBackendFactory(new RabbitMqBackend({ url: '' }));
  await rabbit.initQueue('orders', { filter: [OrderPlaced], type: 'quorum' });
  // @ts-expect-error a setting that memory does not have
  await new MessagingBackendFactory(new MemoryBackend()).initQueue('orders', { type: 'quorum' });
}
