import { randomUUID } from 'node:crypto';
import { RabbitMqBackend } from '@melange/backend-rabbitmq';
import { SerializerRegistry } from '@melange/core';
import { RedisDeduplicationCache } from '@melange/dedup-redis';
import { JsonSerializer } from '@melange/serializer-json';
import { billingDispatcher } from './billing-service.ts';
import { ChargeOrder, OrderCharged } from './messages.ts';
import { Shop } from './shop-service.ts';

const { RABBITMQ_URL = 'amqp://127.0.0.1:5672', REDIS_URL = 'redis://127.0.0.1:6379' } = process.env;

// Names of this run's own, so that it can be repeated. Those of a real service never change.
const run = randomUUID();
const names = { billing: `billing-${run}`, billingDead: `billing-dead-${run}`, shop: `shop-${run}` };

const backend = new RabbitMqBackend({ url: RABBITMQ_URL });
const json = new JsonSerializer([ChargeOrder, OrderCharged]);
const serializers = new SerializerRegistry({ serializers: { json }, default: 'json' });
const cache = new RedisDeduplicationCache({ url: REDIS_URL, namespace: run, ttlMs: 60_000 });
await backend.declareQueue(names.billing, { deadLetterQueue: names.billingDead });
await backend.declareQueue(names.shop);

// Two services. In production each is a process, or many.
const service = { backend, serializers, cache };
const billing = billingDispatcher(service, names.shop);
const shop = new Shop(service, names.billing);
const stop = new AbortController();
const running = [
  billing.consumeLoop(names.billing, {
    signal: stop.signal,
    // Each order was asked for twice: stop when the last request has been dealt with.
    afterConsume: () => billing.counters.acknowledged === 4 && stop.abort(),
  }),
  shop.dispatcher.consumeLoop(names.shop, { signal: stop.signal }),
];

await shop.order('order-1', 2_500);
await shop.order('order-2', 990);

await Promise.all(running);
console.log(`billing: ${billing.counters.duplicates} duplicates were not charged again`);

for (const queue of Object.values(names)) await backend.deleteQueue(queue);
await backend.close();
await cache.close();
