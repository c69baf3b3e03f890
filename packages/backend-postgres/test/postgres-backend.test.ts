import { randomUUID } from 'node:crypto';
import { TcpProxy } from '@melange/conformance';
import { type Delivery, type Logger, MelangeError, systemClock } from '@melange/core';
import { openPostgres, type PostgresConnection } from '@melange/postgres';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { PostgresBackend } from '../src/index.ts';
import type { PostgresBackendOptions } from '../src/options.ts';
import { drained, messageOf } from './support/backends.ts';
import { startPgBouncer, whyNoPgBouncer } from './support/pgbouncer.ts';

const { POSTGRES_URL: url = '' } = process.env;

/** Keeps warnings and errors. */
function kept(): { readonly lines: string[]; readonly logger: Logger } {
  const lines: string[] = [];
  const keep = (line: string): void => void lines.push(line);
  return { lines, logger: { debug: () => undefined, info: () => undefined, warn: keep, error: keep } };
}

describe.skipIf(url === '')('Postgres (skipped without POSTGRES_URL)', () => {
  const schema = `test_${randomUUID().replaceAll('-', '')}`;
  let admin: PostgresConnection;
  const silent = kept().logger;

  beforeAll(() => {
    admin = openPostgres({ url });
  });
  afterAll(async () => {
    await admin.execute(`drop schema if exists ${schema} cascade`, []);
    await admin.close();
  });

  function backend(options: Partial<PostgresBackendOptions> = {}): PostgresBackend {
    const made = new PostgresBackend({ url, schema, logger: silent, ...options });
    onTestFinished(() => made.close());
    return made;
  }

  async function newQueue(on: PostgresBackend): Promise<string> {
    const queue = randomUUID();
    await on.declareQueue(queue);
    return queue;
  }

  /** A user without any right, and the address to connect by. */
  async function newUser(): Promise<{ readonly name: string; readonly address: string }> {
    const name = `user_${randomUUID().replaceAll('-', '')}`;
    await admin.execute(`create role ${name} login password 'p'`, []);
    onTestFinished(async () => {
      await admin.execute(`drop owned by ${name}; drop role ${name}`, []);
    });
    const address = new URL(url);
    address.username = name;
    address.password = 'p';
    return { name, address: address.href };
  }

  it('tells a user who may not create tables the SQL, and works with no other right once somebody has executed it', async () => {
    const { address } = await newUser();
    const own = `own_${randomUUID().replaceAll('-', '')}`;
    onTestFinished(async () => {
      await admin.execute(`drop schema if exists ${own} cascade`, []);
    });
    const restricted = backend({ url: address, schema: own });
    const error: unknown = await restricted
      .declareQueue('orders', { deadLetterQueue: 'dead' })
      .catch((e) => e);
    expect(MelangeError.is(error, 'CONFIGURATION')).toBe(true);
    const [, sql = ''] = (error as Error).message.split('start again:\n\n');
    expect(sql).toContain(`create schema "${own}"`);
    await admin.execute(sql, []);
    await restricted.declareQueue('orders', { deadLetterQueue: 'dead', topics: ['events'] });
    await restricted.publishToTopic('events', [messageOf({ id: 'a' }), messageOf({ id: 'b', key: 'k' })]);
    const [first] = await drained(restricted, 'orders');
    expect(first?.message.id).toBe('a');
    await restricted.deleteQueue('orders');
  });

  it('says in words that the tables are of a newer version, and works again when they are not', async () => {
    const one = backend();
    const queue = await newQueue(one);
    await admin.execute(`insert into ${schema}.migrations (component, number) values ('queues', 99)`, []);
    const late = backend();
    await expect(late.publishToQueue(queue, [messageOf()])).rejects.toThrow(
      /of version 99, and this code knows/,
    );
    // One that was there before goes on.
    await one.publishToQueue(queue, [messageOf()]);
    await admin.execute(`delete from ${schema}.migrations where number = 99`, []);
    await late.publishToQueue(queue, [messageOf()]);
  });

  it('publishes after a fail-over to a server that was read-only at first', async () => {
    const first = backend();
    const queue = await newQueue(first);
    const { name, address } = await newUser();
    await admin.execute(
      `grant usage on schema ${schema} to ${name}; grant all on all tables in schema ${schema} to ${name};
      grant all on all sequences in schema ${schema} to ${name}`,
      [],
    );
    await admin.execute(`alter role ${name} set default_transaction_read_only = on`, []);
    const other = backend({ url: address });
    let isPublished = false;
    const published = other.publishToQueue(queue, [messageOf({ id: 'a' })]).then(() => {
      isPublished = true;
    });
    await vi.waitFor(async () => expect((await other.health()).status).toBe('degraded'));
    expect((await other.health()).detail).toContain('read-only');
    expect(isPublished).toBe(false);
    // Its connections keep what they were told: they have to be made anew.
    await admin.execute(`alter role ${name} reset default_transaction_read_only`, []);
    await published;
    expect((await drained(first, queue)).map(({ message }) => message.id)).toEqual(['a']);
  });

  it('gives back at once what a request took whose answer was lost', async () => {
    const direct = backend();
    const queue = await newQueue(direct);
    await direct.publishToQueue(queue, [messageOf({ id: 'a' })]);
    const { hostname: host, port } = new URL(url);
    await using proxy = await TcpProxy.start({ host, port: Number(port || 5432) });
    const through = new URL(url);
    through.host = `${proxy.address.host}:${proxy.address.port}`;
    const behind = backend({ url: through.href, leaseMs: 120_000, pollMs: 100 });
    await behind.describeQueue(queue);
    let unblock = (): void => undefined;
    let blocking: Promise<void> | undefined;
    await new Promise<void>((isBlocked) => {
      blocking = admin.transaction(async (executor) => {
        await executor.execute(`lock table ${schema}.messages in share mode`, []);
        isBlocked();
        await new Promise<void>((resolve) => {
          unblock = resolve;
        });
      });
    });
    const deliveries: Delivery[] = [];
    await behind.subscribe(queue, { maxInFlight: 10 }, (delivery) => deliveries.push(delivery));
    const waiting = `select count(*)::integer as n from pg_stat_activity where wait_event_type = 'Lock' and query like '%${schema}%skip locked%'`;
    await vi.waitFor(async () => expect((await openedOnce(waiting)).n).toBe(1));
    proxy.cut();
    unblock();
    await blocking;
    await vi.waitFor(() => expect(deliveries).toHaveLength(1), { timeout: 20_000 });
    expect(deliveries[0]).toMatchObject({ attempt: 1, redeliveries: 0, message: { id: 'a' } });
    await deliveries[0]?.acknowledge();
  });

  async function openedOnce(sql: string): Promise<Record<string, unknown>> {
    await using connection = openPostgres({ url });
    return (await connection.execute(sql, [])).rows[0] ?? {};
  }

  it('keeps delays and leases by the server’s clock, whatever this machine’s says', async () => {
    const clock = { ...systemClock, now: () => Date.now() + 3_600_000 };
    const ahead = backend({ clock, leaseMs: 60_000 });
    const queue = await newQueue(ahead);
    const deliveries: Delivery[] = [];
    await ahead.publishToQueue(queue, [messageOf({ id: 'late' })], { delayMs: 500 });
    await ahead.publishToQueue(queue, [messageOf({ id: 'now' })]);
    await ahead.subscribe(queue, { maxInFlight: 10 }, (delivery) => deliveries.push(delivery));
    await vi.waitFor(() => expect(deliveries).toHaveLength(2), { timeout: 20_000 });
    expect(deliveries.map(({ message }) => message.id)).toEqual(['now', 'late']);
    const other = backend();
    expect(await other.describeQueue(queue)).toMatchObject({ depth: 0, inFlight: 2 });
    expect(await drained(other, queue)).toEqual([]);
    await Promise.all(deliveries.map((delivery) => delivery.acknowledge()));
  });

  it('reads what another client inserts, whatever its headers are', async () => {
    const one = backend();
    const queue = await newQueue(one);
    await admin.execute(
      `insert into ${schema}.messages (queue, headers, body)
       select id, h::json, 'hello' from ${schema}.queues,
         unnest(array['{"traceparent":"00","n":1}', '[]', 'null', '"text"', '{"__proto__":"x"}']) h where name = $1`,
      [queue],
    );
    const messages = (await drained(one, queue)).map(({ message }) => message);
    expect(messages.map(({ content }) => content)).toEqual(Array.from({ length: 5 }, () => 'hello'));
    expect(messages[0]).toMatchObject({ headers: { traceparent: '00', n: '1' }, manifest: undefined });
    expect(new Set(messages.map(({ id }) => id)).size).toBe(5);
    expect(Object.keys(messages[4]?.headers ?? {})).toEqual(['__proto__']);
  });

  it('takes keys and headers that Postgres has no characters for, and keys that no index takes', async () => {
    const one = backend();
    const queue = await newQueue(one);
    const sent = [
      messageOf({ id: 'a', key: 'null\0key', headers: { h: 'null\0 half \ud800' }, manifest: 'm\0' }),
      messageOf({ id: 'b', key: Array.from({ length: 4_000 }, (_, n) => n).join() }),
    ];
    await one.publishToQueue(queue, sent);
    expect((await drained(one, queue)).map(({ message }) => message)).toEqual(sent);
  });

  it('makes its tables again when somebody dropped them', async () => {
    const own = `own_${randomUUID().replaceAll('-', '')}`;
    onTestFinished(async () => {
      await admin.execute(`drop schema if exists ${own} cascade`, []);
    });
    const one = backend({ schema: own });
    await one.declareQueue('orders');
    await admin.execute(`drop schema ${own} cascade`, []);
    await one.declareQueue('orders');
    await one.publishToQueue('orders', [messageOf({ id: 'a' })]);
    expect(await drained(one, 'orders')).toHaveLength(1);
  });

  const noPgBouncer = whyNoPgBouncer();
  it.skipIf(noPgBouncer !== undefined)(
    `works through a pgbouncer in its transaction mode by asking now and then, which it says once${noPgBouncer === undefined ? '' : ` (skipped: ${noPgBouncer})`}`,
    async () => {
      const pooler = await startPgBouncer(url);
      onTestFinished(() => pooler.stop());
      const { lines, logger } = kept();
      const pooled = backend({ url: pooler.url, logger, pollMs: 500 });
      const queue = await newQueue(pooled);
      const received: string[] = [];
      await pooled.subscribe(queue, { maxInFlight: 5 }, (delivery) => {
        received.push(delivery.message.id);
        void delivery.acknowledge();
      });
      for (const id of ['a', 'b', 'c']) {
        await pooled.publishToQueue(queue, [messageOf({ id })]);
        await vi.waitFor(() => expect(received).toContain(id), { timeout: 10_000 });
      }
      await vi.waitFor(async () =>
        expect(await pooled.describeQueue(queue)).toMatchObject({ depth: 0, inFlight: 0 }),
      );
      expect(lines).toEqual([expect.stringContaining('Postgres sends no notifications')]);
    },
  );

  it('wakes a subscriber of another process at once, long before it would have asked', async () => {
    const [publisher, subscriber] = [backend(), backend({ pollMs: 60_000 })];
    const queue = await newQueue(publisher);
    const received: Delivery[] = [];
    await subscriber.subscribe(queue, { maxInFlight: 5 }, (delivery) => received.push(delivery));
    for (const [count, id] of ['a', 'b', 'c'].entries()) {
      await publisher.publishToQueue(queue, [messageOf({ id })]);
      await vi.waitFor(() => expect(received).toHaveLength(count + 1), { timeout: 20_000 });
    }
    // What is given back, and the next message of a key that is free, wake too.
    await publisher.publishToQueue(queue, [
      messageOf({ id: 'k1', key: 'k' }),
      messageOf({ id: 'k2', key: 'k' }),
    ]);
    await vi.waitFor(() => expect(received).toHaveLength(4), { timeout: 20_000 });
    await received[3]?.release();
    await vi.waitFor(() => expect(received).toHaveLength(5), { timeout: 20_000 });
    await received[4]?.acknowledge();
    await vi.waitFor(() => expect(received.at(-1)?.message.id).toBe('k2'), { timeout: 20_000 });
  });
});
