import { setTimeout as delay } from 'node:timers/promises';
import { RabbitMqBackend } from '@melange/backend-rabbitmq';
import {
  type Consumer,
  fixedDelays,
  MessageDispatcher,
  SerializerRegistry,
  silentLogger,
} from '@melange/core';
import { openPostgres, type SqlExecutor } from '@melange/postgres';
import { JsonSerializer } from '@melange/serializer-json';
import { inTransaction, PostgresDeduplicationCache } from '../../src/index.ts';

// Usage: system-worker.ts <rabbitmq> <postgres> <schema> <queue> <concurrency> <leaseMs>
const [rabbitMqUrl = '', url = '', schema = '', queue = '', ...numbers] = process.argv.slice(2);
const [concurrency = 1, leaseMs = 30_000] = numbers.map(Number);

const backend = new RabbitMqBackend({ url: rabbitMqUrl, logger: silentLogger });
const connection = openPostgres({ url, logger: silentLogger });
const cache = new PostgresDeduplicationCache({ connection, schema });
const inbox = inTransaction<SqlExecutor>({
  cache,
  begin: (work) => connection.transaction(work),
  executor: (transaction) => transaction,
});
const dispatcher = new MessageDispatcher({
  ...{ backend, cache, concurrency },
  serializers: new SerializerRegistry({ serializers: { json: new JsonSerializer() }, default: 'json' }),
  middleware: [inbox.middleware],
  deduplication: { leaseMs },
  retry: fixedDelays([250, 250, 250]),
  logger: silentLogger,
});

function recording(name: string): Consumer {
  return {
    name,
    accepts: () => true,
    async process(_, { messageId }) {
      await delay(Math.random() * 4);
      await inbox
        .transaction()
        .execute(`insert into "${schema}".effects values ($1)`, [`${name} ${messageId}`]);
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
await connection.close();
await backend.close();
process.disconnect();
