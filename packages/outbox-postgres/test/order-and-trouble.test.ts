import { type Message, MessageTooLargeError } from '@melange/core';
import { describe, expect, test, vi } from 'vitest';
import { RefusedMessages } from '../src/index.ts';
import { failingFor, transient } from './support/flaky-backend.ts';
import { type Fixture, openOutbox, received, recordingLogger, url } from './support/outbox.ts';

const patience = { timeout: 40_000, interval: 10 };
const soon = { delayMs: () => 5 };

const ids = (messages: readonly Message[]) => messages.map(({ id }) => id);

function publish(
  { outbox, connection }: Fixture,
  all: readonly { readonly id: string; readonly key?: string }[],
) {
  return outbox.within(connection).queues.publishBatch(
    'orders',
    all.map((envelope) => ({ value: {}, ...envelope })),
  );
}

describe.skipIf(url === '')('order and trouble (skipped without POSTGRES_URL)', () => {
  test('three relays publish each key in its order, each message once, whatever fails', async () => {
    const fixture = await openOutbox();
    const { backend, relay } = fixture;
    const orders = await received(backend);
    const keys = Array.from({ length: 12 }, (_, n) => `key-${n}`);
    const flaky = failingFor(backend, () => (Math.random() < 0.15 ? transient() : undefined));
    const relays = Array.from({ length: 3 }, () =>
      relay({ backend: flaky, retry: soon, batchSize: 20, maxInFlight: 60, pollMs: 20 }),
    );
    await Promise.all(relays.map((one) => one.start()));
    const perKey = 60;
    for (let n = 0; n < perKey; n += 5)
      await publish(
        fixture,
        [0, 1, 2, 3, 4].flatMap((step) => [
          ...keys.map((key) => ({ id: `${key}/${n + step}`, key })),
          { id: `without/${n + step}` },
        ]),
      );
    const all = (keys.length + 1) * perKey;
    await vi.waitFor(() => expect(orders.length).toBeGreaterThanOrEqual(all), patience);
    await vi.waitFor(async () => expect(await fixture.count('outbox')).toBe(0), patience);
    expect(new Set(ids(orders)).size).toBe(all);
    expect(orders).toHaveLength(all);
    for (const key of keys)
      expect(ids(orders.filter((message) => message.key === key))).toEqual(
        Array.from({ length: perKey }, (_, n) => `${key}/${n}`),
      );
    const worked = relays.filter(({ counters }) => counters.published > 0);
    expect(worked.length).toBeGreaterThan(1);
    expect(relays.reduce((sum, { counters }) => sum + counters.failed, 0)).toBeGreaterThan(50);
  });

  test('a key in trouble holds up no other one, and goes on in its order when it is over', async () => {
    const fixture = await openOutbox();
    const { backend, relay, count } = fixture;
    const orders = await received(backend);
    let isBroken = true;
    const { lines, logger } = recordingLogger();
    const broken = failingFor(backend, ({ key }) => (isBroken && key === 'bad' ? transient() : undefined));
    const running = relay({
      backend: broken,
      retry: soon,
      batchSize: 10,
      maxInFlight: 10,
      maxAgeMs: 1,
      logger,
    });
    const bad = Array.from({ length: 300 }, (_, n) => ({ id: `bad/${n}`, key: 'bad' }));
    await publish(fixture, bad);
    await running.start();
    await publish(
      fixture,
      Array.from({ length: 50 }, (_, n) => ({ id: `good/${n}`, key: `good-${n % 5}` })),
    );
    await publish(
      fixture,
      Array.from({ length: 50 }, (_, n) => ({ id: `without/${n}` })),
    );
    await vi.waitFor(() => expect(orders).toHaveLength(100), patience);
    await vi.waitFor(() => expect(lines.join()).toContain('cannot be published'), patience);
    await vi.waitFor(
      async () => expect(await running.describe()).toMatchObject({ backlog: 300, refused: 0 }),
      patience,
    );
    expect(await count('outbox', "state = 'behind'")).toBeGreaterThan(200);
    expect((await running.describe()).oldestAgeMs).toBeGreaterThan(1);
    await vi.waitFor(
      async () => expect(await running.health()).toMatchObject({ status: 'degraded' }),
      patience,
    );
    isBroken = false;
    await vi.waitFor(() => expect(orders).toHaveLength(400), patience);
    expect(ids(orders).slice(100)).toEqual(bad.map(({ id }) => id));
    await vi.waitFor(async () => expect(await running.health()).toEqual({ status: 'healthy' }), patience);
  });

  test('sets aside what the broker refuses for good, with the reason, and the next of its key goes on', async () => {
    const fixture = await openOutbox();
    const { backend, relay, connection, schema } = fixture;
    const orders = await received(backend);
    let isStrict = true;
    const strict = failingFor(backend, ({ id }) =>
      isStrict && id.startsWith('large') ? new MessageTooLargeError('1 MB is too much') : undefined,
    );
    const running = relay({ backend: strict });
    await running.start();
    await publish(fixture, [
      { id: 'large-1', key: 'k' },
      { id: 'small', key: 'k' },
      { id: 'large-2' },
      { id: 'large-3' },
    ]);
    const refused = new RefusedMessages(connection, { schema });
    await vi.waitFor(async () => expect(await refused.list()).toHaveLength(3), patience);
    await vi.waitFor(() => expect(ids(orders)).toEqual(['small']), patience);
    const [first, second, third] = await refused.list();
    expect(first).toMatchObject({
      kind: 'queue',
      destination: 'orders',
      code: 'MESSAGE_TOO_LARGE',
      reason: 'MessageTooLargeError: 1 MB is too much',
      attempts: 1,
      message: { id: 'large-1', key: 'k', content: '{}' },
    });
    expect(running.counters).toMatchObject({ published: 1, refused: 3, failed: 0 });
    expect(await running.describe()).toMatchObject({ backlog: 0, refused: 3 });
    expect(await running.health()).toEqual({ status: 'healthy' });
    isStrict = false;
    expect(await refused.list({ after: second?.id ?? 0 })).toEqual([third]);
    expect(await refused.discard([third?.id as number])).toBe(1);
    expect(await refused.requeue([second?.id as number])).toBe(1);
    await vi.waitFor(() => expect(ids(orders)).toEqual(['small', 'large-2']), patience);
    expect(await refused.requeue()).toBe(1);
    await vi.waitFor(() => expect(ids(orders)).toEqual(['small', 'large-2', 'large-1']), patience);
    expect(await refused.list()).toEqual([]);
  });

  test('a queue that does not exist is waited for, costs the others nothing, and is seen', async () => {
    const fixture = await openOutbox();
    const { backend, relay, outbox, connection, count } = fixture;
    const orders = await received(backend);
    const { lines, logger } = recordingLogger();
    const running = relay({ batchSize: 10, maxInFlight: 10, logger });
    const { queues } = outbox.within(connection);
    await queues.publishBatch(
      'missing',
      Array.from({ length: 200 }, (_, n) => ({ value: {}, id: `missing/${n}`, key: 'k' })),
    );
    await queues.publishBatch(
      'missing',
      Array.from({ length: 200 }, (_, n) => ({ value: {}, id: `loose/${n}` })),
    );
    await running.start();
    await publish(
      fixture,
      Array.from({ length: 200 }, (_, n) => ({ id: `order/${n}` })),
    );
    await vi.waitFor(() => expect(orders).toHaveLength(200), patience);
    await vi.waitFor(
      async () =>
        expect(await running.health()).toMatchObject({
          status: 'degraded',
          detail: expect.stringContaining('queue "missing" from the outbox'),
        }),
      patience,
    );
    expect(running.counters.failed).toBeLessThan(30);
    await backend.declareQueue('missing');
    const late = await received(backend, 'missing');
    await vi.waitFor(() => expect(late).toHaveLength(400), patience);
    expect(ids(late.filter(({ key }) => key === 'k'))).toEqual(
      Array.from({ length: 200 }, (_, n) => `missing/${n}`),
    );
    await vi.waitFor(async () => expect(await count('outbox')).toBe(0), patience);
    expect(await running.health()).toEqual({ status: 'healthy' });
    expect(lines.filter((line) => line.includes('trouble publishing to queue'))).toHaveLength(2);
  });

  test('a row that somebody holds locked by hand holds up its own key only', async () => {
    const fixture = await openOutbox();
    const { backend, relay, connection, schema } = fixture;
    const orders = await received(backend);
    await publish(
      fixture,
      ['a/1', 'a/2', 'b/1', 'b/2'].map((id) => ({ id, key: id.slice(0, 1) })),
    );
    await connection.transaction(async (transaction) => {
      await transaction.execute(`select from "${schema}".outbox where message_id = 'a/1' for update`, []);
      await relay({ pollMs: 20 }).start();
      await vi.waitFor(() => expect(ids(orders)).toEqual(['b/1', 'b/2']), patience);
    });
    await vi.waitFor(() => expect(ids(orders)).toEqual(['b/1', 'b/2', 'a/1', 'a/2']), patience);
  });

  test('what waits behind a row that somebody deletes by hand goes on', async () => {
    const fixture = await openOutbox();
    const { backend, relay, sql, count } = fixture;
    const orders = await received(backend);
    const broken = failingFor(backend, ({ id }) => (id === 'a/1' ? transient() : undefined));
    const running = relay({ backend: broken, retry: { delayMs: () => 600_000 } });
    await publish(fixture, [
      { id: 'a/1', key: 'a' },
      { id: 'a/2', key: 'a' },
    ]);
    await running.start();
    await vi.waitFor(async () => expect(await count('outbox', "state = 'behind'")).toBe(1), patience);
    expect(orders).toEqual([]);
    await sql("delete from $schema.outbox where message_id = 'a/1'");
    await vi.waitFor(() => expect(ids(orders)).toEqual(['a/2']), patience);
  });

  test('several messages under one id are all published, or all tried again', async () => {
    const fixture = await openOutbox();
    const orders = await received(fixture.backend);
    await publish(fixture, [{ id: 'same' }, { id: 'same' }, { id: 'other' }]);
    await fixture.relay().start();
    await vi.waitFor(() => expect(ids(orders)).toEqual(['same', 'same', 'other']), patience);
  });
});
