import { randomUUID } from 'node:crypto';
import { MemoryBackend } from '@melange/backend-memory';
import {
  type Consumer,
  fixedDelays,
  MessageDispatcher,
  QueuePublisher,
  SerializerRegistry,
  silentLogger,
} from '@melange/core';
import { openPostgres, type SqlExecutor } from '@melange/postgres';
import { JsonSerializer } from '@melange/serializer-json';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { inTransaction, PostgresDeduplicationCache } from '../src/index.ts';

const url = process.env.POSTGRES_URL ?? '';
const patience = { timeout: 20_000, interval: 10 };
const serializers = new SerializerRegistry({ serializers: { json: new JsonSerializer() }, default: 'json' });

/** A queue in memory, and payments in a database. */
async function open(handle: (transaction: SqlExecutor, attempt: number) => Promise<void>) {
  const schema = `test_${randomUUID().replaceAll('-', '')}`;
  const connection = openPostgres({ url, logger: silentLogger });
  const backend = new MemoryBackend();
  await backend.declareQueue('orders');
  const cache = new PostgresDeduplicationCache({ connection, schema });
  await cache.health();
  await connection.execute(`create table "${schema}".payments (message_id text)`, []);
  const inbox = inTransaction<SqlExecutor>({
    cache,
    begin: (work) => connection.transaction(work),
    executor: (transaction) => transaction,
  });
  const dispatcher = new MessageDispatcher({
    backend,
    cache,
    serializers,
    middleware: [inbox.middleware],
    retry: fixedDelays([5, 5]),
    logger: silentLogger,
  });
  let runs = 0;
  const billing: Consumer = {
    name: 'billing',
    accepts: () => true,
    async process(_, { messageId }) {
      runs += 1;
      const transaction = inbox.transaction();
      await transaction.execute(`insert into "${schema}".payments values ($1)`, [messageId]);
      await handle(transaction, runs);
    },
  };
  dispatcher.attachConsumer(billing);
  const stop = new AbortController();
  const loop = dispatcher.consumeLoop('orders', { signal: stop.signal });
  onTestFinished(async () => {
    stop.abort();
    await loop;
    await dispatcher.close();
    await cache.close();
    await connection.execute(`drop schema "${schema}" cascade`, []);
    await connection.close();
    await backend.close();
  });
  return {
    ...{ schema, connection, cache, inbox, dispatcher },
    publish: (id: string) => new QueuePublisher({ backend, serializers }).publish('orders', {}, { id }),
    payments: async () =>
      (await connection.execute(`select message_id from "${schema}".payments order by 1`, [])).rows.map(
        ({ message_id }) => message_id,
      ),
    runs: () => runs,
  };
}

describe.skipIf(url === '')('an inbox (skipped without POSTGRES_URL)', () => {
  test('commits effect and confirm together: a failure has neither, a second delivery finds both', async () => {
    const { publish, payments, dispatcher, runs } = await open(async (_, run) => {
      if (run === 1) throw new Error('after the effect');
    });
    await publish('order-1');
    await vi.waitFor(() => expect(dispatcher.counters.acknowledged).toBe(1), patience);
    await publish('order-1');
    await vi.waitFor(
      () => expect(dispatcher.counters).toMatchObject({ acknowledged: 2, duplicates: 1 }),
      patience,
    );
    expect(await payments()).toEqual(['order-1']);
    expect(runs()).toBe(2);
  });

  test('a handler that lost its claim to another process is rolled back', async () => {
    const { publish, payments, dispatcher, connection, schema, runs } = await open(async (_, run) => {
      if (run > 1) return;
      // As if its lease had ended, and another process had claimed, done and given up the same meanwhile.
      await connection.execute(
        `update "${schema}".deduplication set fence = 'of another', is_done = true`,
        [],
      );
    });
    await publish('order-1');
    await vi.waitFor(() => expect(dispatcher.counters.acknowledged).toBe(1), patience);
    expect(runs()).toBe(1);
    expect(await payments()).toEqual([]);
  });

  test('a commit whose answer is lost happened: the next delivery finds it done', async () => {
    const { publish, payments, dispatcher, connection, runs } = await open(async () => undefined);
    const { transaction } = connection;
    let isLost = false;
    connection.transaction = async (work) => {
      const result = await transaction.call(connection, work);
      if (isLost) return result as never;
      isLost = true;
      throw Object.assign(new Error('Connection terminated unexpectedly'), { code: 'ECONNRESET' });
    };
    await publish('order-1');
    await vi.waitFor(
      () => expect(dispatcher.counters).toMatchObject({ acknowledged: 1, duplicates: 1 }),
      patience,
    );
    expect(runs()).toBe(1);
    expect(await payments()).toEqual(['order-1']);
  });

  test('says what is wrong where there is no transaction, and where the cache is another one', async () => {
    const { inbox, cache } = await open(async () => undefined);
    expect(() => inbox.transaction()).toThrow('There is no transaction here');
    const context = { consumer: 'billing', messageId: 'm', deduplicationKey: 'orders:billing:m' };
    await expect(inbox.middleware(context as never, async () => undefined)).rejects.toThrow(
      'give the dispatcher the same cache',
    );
    expect(cache.claimOf('orders:billing:m')).toBeUndefined();
  });
});
