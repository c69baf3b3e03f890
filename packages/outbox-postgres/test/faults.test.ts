import { canStartHere, type PrivatePostgres, startPostgres } from '@melange/brokers';
import { TcpProxy } from '@melange/conformance';
import { MelangeError, silentLogger } from '@melange/core';
import { openPostgres } from '@melange/postgres';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { openOutbox, received, recordingLogger } from './support/outbox.ts';

const patience = { timeout: 40_000, interval: 10 };
const quick = { leaseMs: 600, pollMs: 50 };

describe.skipIf(!canStartHere('postgres'))('faults of Postgres (skipped where none can be started)', () => {
  let server: PrivatePostgres;
  beforeAll(async () => {
    server = await startPostgres();
  });
  afterAll(() => server?.stop());

  test('a relay that is killed leaves its messages to another one, after its lease', async () => {
    const { connection, schema, outbox, backend, relay, count } = await openOutbox({ url: server.url });
    const orders = await received(backend);
    const { queues } = outbox.within(connection);
    await queues.publishBatch(
      'orders',
      [1, 2, 3].map((n) => ({ value: { n }, key: 'k', id: `${n}` })),
    );
    // It claims, and is never heard of again.
    const registered = await connection.execute(
      `select "${schema}".outbox_register_1(null, '{}', 600) as id`,
      [],
    );
    const nothing = {
      published: [],
      failed: [],
      refused: [],
      returned: [],
      excluded: [],
      probed: [],
      recovered: [],
    };
    const request = { ...nothing, leaseMs: 600, claimLimit: 2, destinationLimit: 2, laneLimit: 50 };
    await connection.execute(`select "${schema}".outbox_exchange_1($1, $2::text::json)`, [
      registered.rows[0]?.id,
      JSON.stringify(request),
    ]);
    expect(await count('outbox', "state = 'claimed'")).toBe(2);
    const began = performance.now();
    await relay(quick).start();
    await vi.waitFor(() => expect(orders.map(({ id }) => id)).toEqual(['1', '2', '3']), patience);
    expect(performance.now() - began).toBeGreaterThan(300);
  });

  test('a relay that hung for longer than its lease begins anew, and what it published meanwhile is done', async () => {
    const { connection, outbox, backend, relay, count, sql } = await openOutbox({ url: server.url });
    const { lines, logger } = recordingLogger();
    let release: () => void = () => undefined;
    const publishToQueue = () =>
      new Promise<void>((resolve) => {
        release = resolve;
      });
    const hanging = relay({
      backend: Object.assign(Object.create(backend), { publishToQueue }),
      pollMs: 30_000,
      leaseMs: 90_000,
      logger,
    });
    await hanging.start();
    await outbox.within(connection).queues.publish('orders', {}, { id: 'one' });
    await vi.waitFor(async () => expect(await count('outbox', "state = 'claimed'")).toBe(1), patience);
    const other = relay({ pollMs: 20 });
    const orders = await received(backend);
    await other.start();
    // As if it had hung.
    await sql(
      "update $schema.outbox_relays set alive_until = clock_timestamp() - interval '1 s' where id = (select min(id) from $schema.outbox_relays)",
    );
    await vi.waitFor(() => expect(orders).toHaveLength(1), patience);
    expect(lines.join()).not.toContain('longer than its lease');
    release();
    await vi.waitFor(() => expect(hanging.counters.published).toBe(1), patience);
    await vi.waitFor(() => expect(lines.join()).toContain('longer than its lease'), patience);
    await vi.waitFor(async () => expect(await count('outbox')).toBe(0), patience);
    expect(orders).toHaveLength(1);
  });

  test('connections that are lost at any moment, also between a commit and its answer, lose and strand nothing', async () => {
    const { outbox, backend, connection, relay, count } = await openOutbox({ url: server.url });
    const { port, hostname } = new URL(server.url);
    const proxy = await TcpProxy.start({ host: hostname, port: Number(port) });
    onTestFinished(() => proxy[Symbol.asyncDispose]());
    const through = openPostgres({
      url: server.url.replace(`:${port}`, `:${proxy.address.port}`),
      statementTimeoutMs: 500,
      logger: silentLogger,
    });
    onTestFinished(() => through.close());
    const orders = await received(backend);
    const running = relay({ connection: through, pollMs: 20, batchSize: 20, maxInFlight: 40 });
    await running.start();
    const all = 400;
    for (let n = 0; n < all; n += 20) {
      const batch = Array.from({ length: 20 }, (_, step) => ({
        value: {},
        id: `${n + step}`,
        key: `${step % 4}`,
      }));
      await outbox.within(connection).queues.publishBatch('orders', batch);
      await vi.waitFor(() => expect(running.counters.published).toBeGreaterThan(n / 2), patience);
      if ((n / 20) % 4 > 0) {
        proxy.cut();
        continue;
      }
      // The server does as it is asked, and its answer goes no further than here.
      proxy.stall('to-client');
      await outbox.within(connection).queues.publish('orders', {}, { id: `more-${n}` });
      await vi.waitFor(async () => expect((await running.health()).status).not.toBe('healthy'), patience);
      proxy.cut();
      proxy.resume();
    }
    await vi.waitFor(async () => expect(await count('outbox')).toBe(0), patience);
    const seen = [...new Set(orders.map(({ id }) => id))];
    const numbers = seen.filter((id) => !id.startsWith('more')).map(Number);
    expect(numbers).toHaveLength(all);
    expect(seen).toHaveLength(all + 5);
    for (let key = 0; key < 4; key += 1) {
      const ofKey = numbers.filter((id) => (id % 20) % 4 === key);
      expect(ofKey).toEqual(ofKey.toSorted((one, two) => one - two));
    }
    await vi.waitFor(async () => expect(await running.health()).toEqual({ status: 'healthy' }), patience);
  });

  test('a server that is read-only for a while is told of, and work goes on afterwards', async () => {
    const { connection, outbox, backend, relay, sql } = await openOutbox({ url: server.url });
    const orders = await received(backend);
    const { lines, logger } = recordingLogger();
    const running = relay({ pollMs: 20, logger });
    await running.start();
    await sql('alter system set default_transaction_read_only = on');
    await sql('select pg_reload_conf()');
    await vi.waitFor(
      async () => expect(await running.health()).toMatchObject({ status: 'degraded' }),
      patience,
    );
    expect((await running.health()).detail).toContain('read-only');
    await expect(outbox.within(connection).queues.publish('orders', {})).rejects.toThrow('read-only');
    await sql('alter system reset default_transaction_read_only');
    await sql('select pg_reload_conf()');
    await vi.waitFor(async () => expect(await running.health()).toEqual({ status: 'healthy' }), patience);
    await outbox.within(connection).queues.publish('orders', {}, { id: 'after' });
    await vi.waitFor(() => expect(orders.map(({ id }) => id)).toEqual(['after']), patience);
    expect(lines.filter((line) => line.startsWith('warn trouble reaching the outbox'))).toHaveLength(1);
  });

  test('tables that are newer than the code are refused at the start, while a relay that runs goes on', async () => {
    const { connection, outbox, backend, relay, sql } = await openOutbox({ url: server.url });
    const orders = await received(backend);
    await relay(quick).start();
    await sql("insert into $schema.migrations (component, number) values ('outbox', 999)");
    const old = await relay()
      .start()
      .catch((error: unknown) => error);
    expect(MelangeError.is(old, 'CONFIGURATION')).toBe(true);
    expect(String(old)).toContain('version 999');
    await outbox.within(connection).queues.publish('orders', {}, { id: 'one' });
    await vi.waitFor(() => expect(orders).toHaveLength(1), patience);
  });

  test('a server that crashes and starts again loses nothing that was committed', async () => {
    const { connection, outbox, backend, relay, count } = await openOutbox({ url: server.url });
    const orders = await received(backend);
    const running = relay(quick);
    await running.start();
    const { queues } = outbox.within(connection);
    await queues.publishBatch(
      'orders',
      Array.from({ length: 300 }, (_, n) => ({ value: {}, id: `${n}`, key: `${n % 7}` })),
    );
    await server.end('SIGQUIT');
    await server.restart();
    await vi.waitFor(async () => expect(await count('outbox')).toBe(0), patience);
    expect(new Set(orders.map(({ id }) => id)).size).toBe(300);
    await vi.waitFor(async () => expect(await running.health()).toEqual({ status: 'healthy' }), patience);
  });

  test('a relay that is closed waits for what it has begun, and gives back the rest', async () => {
    const { connection, outbox, backend, relay, count } = await openOutbox({ url: server.url });
    let release: (() => void) | undefined;
    const publishToQueue = async (
      ...parameters: Parameters<typeof backend.publishToQueue>
    ): Promise<void> => {
      await new Promise<void>((resolve) => {
        release = resolve;
      });
      await backend.publishToQueue(...parameters);
    };
    const running = relay({ backend: Object.assign(Object.create(backend), { publishToQueue }) });
    await running.start();
    const { queues } = outbox.within(connection);
    await queues.publishBatch(
      'orders',
      [1, 2, 3].map((n) => ({ value: { n }, id: `${n}`, key: 'k' })),
    );
    await vi.waitFor(() => expect(release).toBeDefined(), patience);
    expect(await count('outbox', "state = 'claimed'")).toBe(3);
    const closing = running.close();
    release?.();
    await closing;
    expect(await count('outbox')).toBe(2);
    expect(await count('outbox', "state = 'claimed'")).toBe(0);
    expect(await count('outbox_relays')).toBe(0);
    const orders = await received(backend);
    await relay().start();
    await vi.waitFor(() => expect(orders.map(({ id }) => id)).toEqual(['1', '2', '3']), patience);
  });
});
