import { randomUUID } from 'node:crypto';
import { MemoryBackend } from '@melange/backend-memory';
import { type Logger, type Message, SerializerRegistry, silentLogger } from '@melange/core';
import { openPostgres, type PostgresConnection, quoteIdentifier } from '@melange/postgres';
import { JsonSerializer } from '@melange/serializer-json';
import { onTestFinished } from 'vitest';
import { Outbox, OutboxRelay, type OutboxRelayOptions } from '../../src/index.ts';

/** Address of a server that test files share, each test with a schema of its own. */
export const url: string = process.env.POSTGRES_URL ?? '';

export const serializers: SerializerRegistry = new SerializerRegistry({
  serializers: { json: new JsonSerializer() },
  default: 'json',
});

/** What a test works with; all of it is gone after the test. */
export interface Fixture {
  readonly connection: PostgresConnection;
  readonly schema: string;
  readonly outbox: Outbox;
  readonly backend: MemoryBackend;
  /** A relay that is not started. */
  relay(options?: Partial<OutboxRelayOptions>): OutboxRelay;
  /** Number of rows of a table of the schema that fulfil a condition. */
  count(table: string, condition?: string): Promise<number>;
  sql(text: string): Promise<Record<string, unknown>[]>;
}

/** An outbox of its own, in a database with its tables, and a broker in memory with a queue `orders`. */
export async function openOutbox(
  options: { readonly url?: string; readonly notify?: boolean } = {},
): Promise<Fixture> {
  const schema = `test_${randomUUID().replaceAll('-', '')}`;
  const connection = openPostgres({ url: options.url ?? url, logger: silentLogger });
  const backend = new MemoryBackend();
  await backend.declareQueue('orders');
  const relays: OutboxRelay[] = [];
  const relay: Fixture['relay'] = (given = {}) => {
    const made = new OutboxRelay({ connection, backend, schema, logger: silentLogger, ...given });
    relays.push(made);
    return made;
  };
  const first = relay();
  await first.start();
  await first.close();
  onTestFinished(async () => {
    await Promise.all(relays.map((one) => one.close()));
    await connection.execute(`drop schema ${quoteIdentifier(schema)} cascade`, []).catch(() => undefined);
    await connection.close();
    await backend.close();
  });
  const sql: Fixture['sql'] = async (text) =>
    (await connection.execute(text.replaceAll('$schema', schema), [])).rows;
  return {
    connection,
    schema,
    outbox: new Outbox({
      serializers,
      schema,
      ...(options.notify !== undefined && { notify: options.notify }),
    }),
    backend,
    relay,
    sql,
    count: async (table, condition = 'true') =>
      Number((await sql(`select count(*) from $schema.${table} where ${condition}`))[0]?.count),
  };
}

/** Takes what a queue receives, in the order of its arrival. */
export async function received(backend: MemoryBackend, queue = 'orders'): Promise<Message[]> {
  const messages: Message[] = [];
  const subscription = await backend.subscribe(queue, { maxInFlight: 1_000 }, (delivery) => {
    messages.push(delivery.message);
    void delivery.acknowledge();
  });
  onTestFinished(() => subscription.close());
  return messages;
}

/** What a logger was told. */
export function recordingLogger(): { readonly logger: Logger; readonly lines: string[] } {
  const lines: string[] = [];
  const at = (level: string) => (message: string, facts?: Readonly<Record<string, unknown>>) => {
    lines.push(`${level} ${message} ${JSON.stringify(facts ?? {})}`);
  };
  return {
    lines,
    logger: { debug: () => undefined, info: at('info'), warn: at('warn'), error: at('error') },
  };
}
