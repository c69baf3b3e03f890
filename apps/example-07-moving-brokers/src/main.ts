import { randomUUID } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import { RabbitMqBackend } from '@melange/backend-rabbitmq';
import { SqsBackend } from '@melange/backend-sqs';
import type { MessagingBackend } from '@melange/core';
import { MemoryDeduplicationCache } from '@melange/dedup-memory';
import { defineMessage, defineService } from '@melange/service';
import { z } from 'zod';

class OrderPlaced extends defineMessage('OrderPlaced', z.object({ orderId: z.string() })) {}

const { RABBITMQ_URL = 'amqp://127.0.0.1:5672', SQS_URL = 'http://127.0.0.1:4566' } = process.env;
const credentials = { accessKeyId: 'any', secretAccessKey: 'any' };
const queue = `orders-${randomUUID()}`;
const rabbitMq = new RabbitMqBackend({ url: RABBITMQ_URL });
const sqs = new SqsBackend({ client: { endpoint: SQS_URL, region: 'us-east-1', credentials } });

// One name and one cache on both brokers: a message processed on one broker is a duplicate on the other. With several
// processes this is `RedisDeduplicationCache`.
const cache = new MemoryDeduplicationCache();
const processed: string[] = [];
const ordersOn = (backend: MessagingBackend) => {
  const service = defineService({
    name: 'orders',
    backend,
    cache,
    messages: [OrderPlaced],
    queues: { [queue]: {} },
    sends: { [queue]: [OrderPlaced] },
    closesResources: false, // the cache is the other one's, too
  }).on(queue, OrderPlaced, ({ orderId }) => void processed.push(orderId));
  const place = async (from: number, to: number): Promise<void> => {
    for (let order = from; order <= to; order += 1) {
      await service.send(queue, new OrderPlaced({ orderId: `order-${order}` }), {
        id: `order-${order}-placed`,
      });
    }
  };
  const acknowledged = () => service.counters()[queue]?.acknowledged ?? 0;
  return { service, place, acknowledged };
};

const onRabbitMq = ordersOn(rabbitMq);
await onRabbitMq.service.start();
await onRabbitMq.place(1, 20);
console.log('1. Everything is on RabbitMQ.');

const onSqs = ordersOn(sqs);
await onSqs.service.start();
console.log('2. The service reads both brokers. Nothing is published to SQS yet.');

// Publishers are deployed one by one; one of them crashed in between and publishes its last ten again, to SQS.
await Promise.all([onRabbitMq.place(21, 40), onSqs.place(41, 60)]);
await onSqs.place(31, 40);
console.log('3. Publishers move: some to RabbitMQ still, some to SQS already, ten orders to both.');

// Nobody publishes there any more. No message waits, and `stop` lets running handlers finish.
while (onRabbitMq.acknowledged() < 40 || (await rabbitMq.describeQueue(queue)).depth > 0)
  await setTimeout(20);
await onRabbitMq.service.stop();
const { depth: left } = await rabbitMq.describeQueue(queue);
if (left > 0) throw new Error(`${left} orders are left on RabbitMQ: start its reader again`);
await rabbitMq.deleteQueue(queue);
await rabbitMq.close();
console.log('4. RabbitMQ is drained and gone.');

await onSqs.place(61, 80);
while (onSqs.acknowledged() < 50) await setTimeout(20);
console.log('5. Everything is on SQS.');
console.log(
  `80 orders were placed, ${processed.length} processed, ${new Set(processed).size} different ones.`,
);

await onSqs.service.stop();
await sqs.deleteQueue(queue);
await sqs.close();
