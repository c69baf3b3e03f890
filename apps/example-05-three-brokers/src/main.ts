import { randomUUID } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { KafkaBackend } from '@melange/backend-kafka';
import { RabbitMqBackend } from '@melange/backend-rabbitmq';
import { SqsBackend } from '@melange/backend-sqs';
import type { MessagingBackend } from '@melange/core';
import { PlaceOrder } from './messages.ts';
import { fleet } from './services.ts';

const { RABBITMQ_URL = 'amqp://127.0.0.1:5672', SQS_URL = 'http://127.0.0.1:4566' } = process.env;
const { KAFKA_URL = 'kafka://127.0.0.1:9092' } = process.env;
const credentials = { accessKeyId: 'any', secretAccessKey: 'any' };

// Names of this run's own, so that it can be repeated.
const run = randomUUID();
const queues = { orders: `orders-${run}`, payments: `payments-${run}`, shipping: `shipping-${run}` };
const brokers: Record<string, MessagingBackend> = {
  [queues.orders]: new RabbitMqBackend({ url: RABBITMQ_URL }),
  [queues.payments]: new SqsBackend({ client: { endpoint: SQS_URL, region: 'us-east-1', credentials } }),
  [queues.shipping]: new KafkaBackend({ brokers: [KAFKA_URL] }),
};

const delivery = new EventEmitter();
const { services, customer } = fleet(queues, brokers, () => delivery.emit('shipped'));
await Promise.all(services.map((service) => service.start()));

const shipped = once(delivery, 'shipped');
await customer.send(queues.orders, new PlaceOrder({ orderId: 'order-1' }));
await shipped;
await Promise.all(services.map((service) => service.stop()));
for (const [queue, backend] of Object.entries(brokers)) {
  await backend.deleteQueue(queue);
  await backend.close();
}
