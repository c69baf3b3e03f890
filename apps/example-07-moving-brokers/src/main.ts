import { randomUUID } from 'node:crypto';
import { RabbitMqBackend } from '@melange/backend-rabbitmq';
import { SqsBackend } from '@melange/backend-sqs';
import {
  type MessagingBackend,
  QueuePublisher,
  SerializerRegistry,
  SimpleMessageDispatcher,
  SingleDispatchConsumer,
} from '@melange/core';
import { MemoryDeduplicationCache } from '@melange/dedup-memory';
import { JsonSerializer } from '@melange/serializer-json';

class OrderPlaced {
  readonly orderId: string;
  constructor(orderId: string) {
    this.orderId = orderId;
  }
}

const { RABBITMQ_URL = 'amqp://127.0.0.1:5672', SQS_URL = 'http://127.0.0.1:4566' } = process.env;
const credentials = { accessKeyId: 'any', secretAccessKey: 'any' };
const queue = `orders-${randomUUID()}`;
const rabbitMq = new RabbitMqBackend({ url: RABBITMQ_URL });
const sqs = new SqsBackend({ client: { endpoint: SQS_URL, region: 'us-east-1', credentials } });

const json = new JsonSerializer([OrderPlaced]);
const serializers = new SerializerRegistry({ serializers: { json }, default: 'json' });
// One consumer and one cache for both brokers: what came through one is known to be done on the other. With several
// processes this is `RedisDeduplicationCache`.
const cache = new MemoryDeduplicationCache();
const processed: string[] = [];
const orders = new SingleDispatchConsumer('orders').on(OrderPlaced, ({ orderId }) => {
  processed.push(orderId);
});
const consume = (backend: MessagingBackend) => {
  const dispatcher = new SimpleMessageDispatcher(orders, { backend, serializers, cache });
  return { dispatcher, running: dispatcher.consumeLoop(queue) };
};
const publish = async (backend: MessagingBackend, from: number, to: number) => {
  const publisher = new QueuePublisher({ backend, serializers });
  for (let order = from; order <= to; order += 1) {
    await publisher.publish(queue, new OrderPlaced(`order-${order}`), { id: `order-${order}-placed` });
  }
};

await rabbitMq.declareQueue(queue);
const onRabbitMq = consume(rabbitMq);
await publish(rabbitMq, 1, 20);
console.log('1. Everything is on RabbitMQ.');

await sqs.declareQueue(queue);
const onSqs = consume(sqs);
console.log('2. The service reads both brokers. Nothing is published to SQS yet.');

// Publishers are deployed one by one; one of them crashed in between and publishes its last ten again, to SQS.
await Promise.all([publish(rabbitMq, 21, 40), publish(sqs, 41, 60)]);
await publish(sqs, 31, 40);
console.log('3. Publishers move: some to RabbitMQ still, some to SQS already, ten orders to both.');

// Nobody publishes there any more. Empty means: nothing waits, and nothing is being worked on.
await until(async () => {
  const { depth } = await rabbitMq.describeQueue(queue);
  const { loops } = await onRabbitMq.dispatcher.health();
  return (
    depth === 0 &&
    loops.every(({ inFlight }) => inFlight === 0) &&
    onRabbitMq.dispatcher.counters.acknowledged >= 40
  );
});
await onRabbitMq.dispatcher.close();
await onRabbitMq.running;
await rabbitMq.deleteQueue(queue);
await rabbitMq.close();
console.log('4. RabbitMQ is drained and gone.');

await publish(sqs, 61, 80);
await until(async () => onSqs.dispatcher.counters.acknowledged >= 50);
console.log('5. Everything is on SQS.');
console.log(
  `80 orders were placed, ${processed.length} processed, ${new Set(processed).size} different ones.`,
);

await onSqs.dispatcher.close();
await onSqs.running;
await sqs.deleteQueue(queue);
await sqs.close();

/** Looks again until it holds. */
async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 20));
}
