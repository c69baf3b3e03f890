import { MelangeError, type Message } from '@melange/core';
import { describe, expect, test, vi } from 'vitest';
import { nextTime } from '../src/schedule/next-time.ts';
import { openOutbox, received, url } from './support/outbox.ts';

const patience = { timeout: 20_000, interval: 10 };
const ids = (messages: readonly Message[]) => messages.map(({ id }) => id);

describe.skipIf(url === '')('schedules (skipped without POSTGRES_URL)', () => {
  test('publish once at their time, in the transaction that made them, unless they are cancelled', async () => {
    const { connection, outbox, backend, relay, count } = await openOutbox();
    const orders = await received(backend);
    await relay({ pollMs: 30_000, leaseMs: 90_000 }).start();
    const { schedules } = outbox.within(connection);
    const began = performance.now();
    await connection.transaction(async (transaction) => {
      await outbox
        .within(transaction)
        .schedules.at(new Date(Date.now() + 400), 'orders', { n: 1 }, { id: 'at', key: 'k' });
    });
    expect(await schedules.after(200, 'orders', { n: 2 }, { id: 'after', scheduleId: 'reminder' })).toBe(
      'reminder',
    );
    await schedules.after(200, 'orders', { n: 3 }, { id: 'again', scheduleId: 'reminder' });
    await schedules.after(300, 'orders', { n: 4 }, { id: 'cancelled' });
    await schedules.after(3_600_000, 'orders', { n: 5 }, { id: 'much later' });
    expect(await schedules.cancel('cancelled')).toBe(true);
    expect(await schedules.cancel('cancelled')).toBe(false);
    await vi.waitFor(() => expect(ids(orders)).toEqual(['after', 'at']), patience);
    expect(performance.now() - began).toBeGreaterThan(350);
    expect(await schedules.cancel('reminder')).toBe(false);
    await vi.waitFor(async () => expect(await count('outbox')).toBe(1), patience);
  });

  test('that were missed are published once, or not, as they say', async () => {
    const { connection, outbox, backend, relay, sql, count } = await openOutbox();
    const orders = await received(backend);
    const { schedules } = outbox.within(connection);
    const past = new Date(Date.now() - 3_600_000);
    await schedules.at(past, 'orders', {}, { id: 'publish' });
    await schedules.at(past, 'orders', {}, { id: 'skip', ifMissed: 'skip' });
    await schedules.every('0 0 1 1 *', 'orders', {}, { scheduleId: 'once' });
    await schedules.every('0 0 1 1 *', 'orders', {}, { scheduleId: 'none', missed: 'skip' });
    await sql("update $schema.outbox_recurring set next_at = '2020-01-01T00:00:00Z'");
    const running = relay();
    await running.start();
    await vi.waitFor(
      () => expect(ids(orders).toSorted()).toEqual(['once@2020-01-01T00:00:00.000Z', 'publish']),
      patience,
    );
    await vi.waitFor(
      async () => expect(await count('outbox_recurring', 'next_at > now()')).toBe(2),
      patience,
    );
    expect(orders.find(({ id }) => id.startsWith('once'))?.headers).toEqual({
      scheduledFor: '2020-01-01T00:00:00.000Z',
    });
    await vi.waitFor(async () => expect(await count('outbox')).toBe(0), patience);
    expect(running.counters).toMatchObject({ published: 2, skipped: 1 });
  });

  test('that recur are published once for each time, with several relays; one of the same id goes on', async () => {
    const { connection, outbox, backend, relay } = await openOutbox();
    const orders = await received(backend);
    await Promise.all([relay(), relay(), relay()].map((one) => one.start()));
    const { schedules } = outbox.within(connection);
    for (let start = 0; start < 3; start += 1)
      await schedules.every('* * * * * *', 'orders', { tick: true }, { scheduleId: 'tick' });
    await vi.waitFor(() => expect(orders.length).toBeGreaterThanOrEqual(3), patience);
    expect(await schedules.cancel('tick')).toBe(true);
    expect(new Set(ids(orders)).size).toBe(orders.length);
    const times = orders.map(({ headers }) => Date.parse(headers.scheduledFor as string));
    for (const [index, time] of times.slice(1).entries())
      expect(time).toBeGreaterThan(times[index] as number);
    expect(times.every((time) => time % 1_000 === 0)).toBe(true);
  });

  test('of which one cannot be read, or has come to its end, hold up no other', async () => {
    const { connection, outbox, backend, relay, sql, count } = await openOutbox();
    const orders = await received(backend);
    const { schedules } = outbox.within(connection);
    for (const scheduleId of ['unreadable', 'last', 'other'])
      await schedules.every('0 0 1 1 *', 'orders', {}, { scheduleId, missed: 'once' });
    await sql("update $schema.outbox_recurring set next_at = now() - interval '1 minute'");
    await sql("update $schema.outbox_recurring set next_at = now() - interval '1 hour' where id <> 'other'");
    await sql("update $schema.outbox_recurring set time_zone = 'Nowhere/Else' where id = 'unreadable'");
    await sql("update $schema.outbox_recurring set cron = '0 0 0 1 1 * 2020' where id = 'last'");
    const running = relay();
    await running.start();
    await vi.waitFor(
      () => expect(ids(orders).map((id) => id.split('@')[0])).toEqual(['last', 'other']),
      patience,
    );
    expect(await count('outbox_recurring', "next_at = 'infinity'")).toBe(1);
    expect(await count('outbox_recurring', 'next_at < now()')).toBe(1);
    expect(await running.health()).toMatchObject({
      status: 'degraded',
      detail: expect.stringContaining('unreadable'),
    });
  });

  test('that make no sense are refused', async () => {
    const { connection, outbox } = await openOutbox();
    const { schedules } = outbox.within(connection);
    const refused = [
      schedules.every('61 * * * *', 'orders', {}, { scheduleId: 'a' }),
      schedules.every('* * * * *', 'orders', {}, { scheduleId: 'a', timeZone: 'Mars/Olympus' }),
      schedules.at(new Date(Number.NaN), 'orders', {}),
      schedules.after(-1, 'orders', {}),
    ];
    for (const one of await Promise.allSettled(refused))
      expect(one.status === 'rejected' && MelangeError.is(one.reason, 'CONFIGURATION')).toBe(true);
  });
});

describe('the next time of a cron expression', () => {
  const iso = (cron: string, zone: string, after: string) =>
    new Date(nextTime(cron, zone, Date.parse(after))).toISOString();

  test('follows the time zone, also where its clock steps', () => {
    expect(iso('0 9 * * *', 'Europe/Berlin', '2026-01-10T00:00:00Z')).toBe('2026-01-10T08:00:00.000Z');
    expect(iso('0 9 * * *', 'Europe/Berlin', '2026-07-10T00:00:00Z')).toBe('2026-07-10T07:00:00.000Z');
    // In the night to October 25th the hour from two to three comes twice.
    const hours: string[] = [];
    for (let time = '2026-10-24T22:00:00Z'; hours.length < 5; hours.push(time))
      time = iso('0 * * * *', 'Europe/Berlin', time);
    expect(hours).toEqual([...new Set(hours)].toSorted());
  });
});
