import { appendFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { RabbitMqBackend } from '@melange/backend-rabbitmq';
import {
  type Consumer,
  fixedDelays,
  MessageDispatcher,
  SerializerRegistry,
  silentLogger,
} from '@melange/core';
import { JsonSerializer } from '@melange/serializer-json';
import { RedisDeduplicationCache } from '../../src/index.ts';

// Usage: system-worker.ts <rabbitmq> <redis> <queue> <namespace> <file> <concurrency> <leaseMs>
const [rabbitMqUrl = '', redisUrl = '', queue = '', namespace = '', effects = '', ...numbers] =
  process.argv.slice(2);
const [concurrency = 1, leaseMs = 30_000] = numbers.map(Number);

const backend = new RabbitMqBackend({ url: rabbitMqUrl, logger: silentLogger });
const cache = new RedisDeduplicationCache({
  url: redisUrl,
  namespace,
  timeoutMs: leaseMs - 500,
  logger: silentLogger,
});
const dispatcher = new MessageDispatcher({
  backend,
  cache,
  serializers: new SerializerRegistry({ serializers: { json: new JsonSerializer() }, default: 'json' }),
  concurrency,
  deduplication: { leaseMs, timeoutMs: leaseMs },
  retry: fixedDelays([250, 250, 250]),
  logger: silentLogger,
});

/** Its side effect is a line in a file, written at once: a kill may come right after it. */
function recording(name: string): Consumer {
  return {
    name,
    accepts: () => true,
    async process(_, { messageId }) {
      await delay(Math.random() * 4);
      appendFileSync(effects, `${name} ${messageId} ${process.pid}\n`);
      await delay(Math.random() * 4);
    },
  };
}

dispatcher.attachConsumer(recording('billing'));
dispatcher.attachConsumer(recording('shipping'));
const stop = new AbortController();
process.once('SIGTERM', () => stop.abort());
// The test was killed, and cannot end its workers any more.
process.once('disconnect', () => process.exit());
await dispatcher.consumeLoop(queue, { signal: stop.signal });
await dispatcher.close();
await cache.close();
await backend.close();
process.disconnect();
