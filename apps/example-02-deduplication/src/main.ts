import { randomUUID } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import { RabbitMqBackend } from '@melange/backend-rabbitmq';
import { RedisDeduplicationCache } from '@melange/dedup-redis';
import { billingService } from './billing-service.ts';
import { shopService } from './shop-service.ts';

const { RABBITMQ_URL = 'amqp://127.0.0.1:5672', REDIS_URL = 'redis://127.0.0.1:6379' } = process.env;

// Names of this run's own, so that it can be repeated. Those of a real service never change.
const run = randomUUID();
const queues = { billing: `billing-${run}`, shop: `shop-${run}` };
const backend = new RabbitMqBackend({ url: RABBITMQ_URL });
const cache = new RedisDeduplicationCache({ url: REDIS_URL, namespace: run, ttlMs: 60_000 });

// Two services. In production each is a process, or many, and its program is `await billing.run()`.
const billing = billingService({ backend, cache, queues });
const shop = shopService({ backend, cache, queues });
await Promise.all([billing.start(), shop.service.start()]);

await shop.order('order-1', 2_500);
await shop.order('order-2', 990);

// Each order was asked for twice: stop when the last request has been dealt with.
const ofBilling = () => billing.counters()[queues.billing];
while (ofBilling()?.acknowledged !== 4) await setTimeout(20);
await Promise.all([billing.stop(), shop.service.stop()]);
console.log(`billing: ${ofBilling()?.duplicates} duplicates were not charged again`);

for (const queue of [...Object.values(queues), `${queues.billing}-dead`]) await backend.deleteQueue(queue);
await backend.close();
await cache.close();
