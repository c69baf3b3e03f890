import { randomUUID } from 'node:crypto';
import { KafkaBackend } from '@melange/backend-kafka';
import { RabbitMqBackend } from '@melange/backend-rabbitmq';
import { SqsBackend } from '@melange/backend-sqs';
import { type MessagingBackend, SerializerRegistry } from '@melange/core';
import { JsonSerializer } from '@melange/serializer-json';
import { PayOrder, PlaceOrder, ShipOrder } from './messages.ts';
import { type Inbox, sender, service } from './service.ts';

const { RABBITMQ_URL = 'amqp://127.0.0.1:5672', SQS_URL = 'http://127.0.0.1:4566' } = process.env;
const { KAFKA_URL = 'kafka://127.0.0.1:9092' } = process.env;
const credentials = { accessKeyId: 'any', secretAccessKey: 'any' };

const run = randomUUID();
const inbox = (name: string, backend: MessagingBackend): Inbox => ({ backend, queue: `${name}-${run}` });
const orders = inbox('orders', new RabbitMqBackend({ url: RABBITMQ_URL }));
const payments = inbox(
  'payments',
  new SqsBackend({ client: { endpoint: SQS_URL, region: 'us-east-1', credentials } }),
);
const shipping = inbox('shipping', new KafkaBackend({ brokers: [KAFKA_URL] }));
const inboxes = [orders, payments, shipping];
for (const { backend, queue } of inboxes) await backend.declareQueue(queue);

const json = new JsonSerializer([PlaceOrder, PayOrder, ShipOrder]);
const serializers = new SerializerRegistry({ serializers: { json }, default: 'json' });
const send = sender(serializers);

const stop = new AbortController();
const services = [
  service('orders', orders, serializers, PlaceOrder, async ({ orderId }) => {
    console.log(`${orders.backend.name}: ${orderId} is placed`);
    await send(payments, new PayOrder(orderId));
  }),
  service('payments', payments, serializers, PayOrder, async ({ orderId }) => {
    console.log(`${payments.backend.name}: ${orderId} is paid`);
    await send(shipping, new ShipOrder(orderId));
  }),
  service('shipping', shipping, serializers, ShipOrder, async ({ orderId }) => {
    console.log(`${shipping.backend.name}: ${orderId} is shipped`);
    stop.abort();
  }),
];
const running = services.map((dispatcher, index) =>
  dispatcher.consumeLoop(inboxes[index]?.queue ?? '', { signal: stop.signal }),
);

await send(orders, new PlaceOrder('order-1'));
await Promise.all(running);
for (const { backend, queue } of inboxes) {
  await backend.deleteQueue(queue);
  await backend.close();
}
