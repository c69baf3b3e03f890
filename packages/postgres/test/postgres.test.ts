import { PGlite } from '@electric-sql/pglite';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { migrate, openPostgres, type PostgresConnection, reasonUnavailable } from '../src/index.ts';
import { ownFolder, ownName, serverUrl } from './support/databases.ts';

const folder = await ownFolder();
afterAll(() => folder[Symbol.asyncDispose]());

const kinds = [
  ['PGlite', { directory: folder.path }],
  ...(serverUrl === undefined ? [] : [['a server', { url: serverUrl }] as const]),
] as const;

// What needs a server is skipped where there is none: the run says so.
describe.each(kinds)('on %s', (_, options) => {
  const schema = ownName();
  let connection: PostgresConnection;

  beforeAll(async () => {
    connection = openPostgres({ ...options, schema });
    await connection.execute(`create schema ${schema}; create table ${schema}.t (n integer primary key)`, []);
  });

  afterAll(async () => {
    await connection.execute(`drop schema ${schema} cascade`, []);
    await connection.close();
  });

  async function numbers(): Promise<unknown[]> {
    const { rows } = await connection.execute(`select n from ${schema}.t order by n`, []);
    return rows.map(({ n }) => n);
  }

  test('values come in the same types', async () => {
    const at = new Date('2026-01-02T03:04:05.678Z');
    const { rows, rowCount } = await connection.execute(
      `select 5::int8 as small, 9007199254740993::int8 as wide, $1::timestamptz as at, $2::jsonb as json,
         $3::bytea as bytes, $4::text[] as texts, $5::bytea[] as many, 1.50::numeric as numeric, null as nothing,
         array[1, 2]::int8[] as wholes`,
      [at, { a: [1] }, Uint8Array.of(0, 255), ['a,"b\\', null], [Uint8Array.of(1), null]],
    );
    expect(rowCount).toBe(1);
    const { bytes, many, ...others } = rows[0] as { bytes: Uint8Array; many: Uint8Array[] };
    expect([...bytes]).toEqual([0, 255]);
    expect(many.map((one) => one && [...one])).toEqual([[1], null]);
    expect(others).toEqual({
      small: 5,
      wide: 9007199254740993n,
      at,
      json: { a: [1] },
      texts: ['a,"b\\', null],
      numeric: '1.50',
      nothing: null,
      wholes: [1, 2],
    });
  });

  test('rows that are changed are counted; without parameters the last of several statements answers', async () => {
    const changed = await connection.execute(`insert into ${schema}.t values ($1), ($2)`, [101, 102]);
    expect(changed).toEqual({ rows: [], rowCount: 2 });
    const last = await connection.execute(`delete from ${schema}.t; select 1 as one`, []);
    expect(last).toEqual({ rows: [{ one: 1 }], rowCount: 1 });
  });

  test('a transaction is all or nothing, and the connection serves on', async () => {
    const failing = connection.transaction(async (executor) => {
      await executor.execute(`insert into ${schema}.t values ($1)`, [1]);
      await executor.execute(`insert into ${schema}.t values ($1)`, [1]);
    });
    await expect(failing).rejects.toMatchObject({ code: '23505' });
    const changedMind = connection.transaction(async (executor) => {
      await executor.execute(`insert into ${schema}.t values ($1)`, [2]);
      throw new Error('changed my mind');
    });
    await expect(changedMind).rejects.toThrow('changed my mind');
    const answer = await connection.transaction(async (executor) => {
      await executor.execute(`insert into ${schema}.t values ($1)`, [3]);
      return 'three';
    });
    expect(answer).toBe('three');
    expect(await numbers()).toEqual([3]);
  });

  test('a transaction whose statement failed is not committed, though its work swallows the error', async () => {
    const swallowed = connection.transaction(async (executor) => {
      await executor.execute(`insert into ${schema}.t values ($1)`, [50]);
      await executor.execute('select 1 / 0', []).catch(() => undefined);
    });
    await expect(swallowed).rejects.toThrow();
    expect(await numbers()).not.toContain(50);
  });

  test('a statement at fault is no outage', async () => {
    const error: unknown = await connection.execute('select nonsense', []).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code: '42703' });
    expect(reasonUnavailable(error)).toBeUndefined();
  });

  test('notifications come to whoever listens to their channel, until it ends', async () => {
    const [channel, other] = [ownName(), ownName()];
    const heard: string[] = [];
    const stop = await connection.listen(channel, (payload) => heard.push(payload));
    const stopOther = await connection.listen(other, (payload) => heard.push(`other ${payload}`));
    expect(connection.isListening).toBe(true);
    await connection.execute('select pg_notify($1, $2)', [channel, 'one']);
    await vi.waitFor(() => expect(heard).toContain('one'));
    await stop();
    await connection.execute('select pg_notify($1, $2)', [channel, 'two']);
    await connection.execute('select pg_notify($1, $2)', [other, 'three']);
    await vi.waitFor(() => expect(heard).toContain('other three'));
    expect(heard).not.toContain('two');
    await stopOther();
  });

  test('the time is the server’s', async () => {
    expect(Math.abs((await connection.serverTime()) - Date.now())).toBeLessThan(60_000);
  });

  describe('migrations', () => {
    const component = 'things';
    const first = { number: 1, sql: (quoted: string) => `create table ${quoted}.things (a integer);` };
    const second = {
      number: 2,
      sql: (quoted: string) =>
        `alter table ${quoted}.things add b text; insert into ${quoted}.things values (1, 'x')`,
    };

    test('are made once, in order, by several at once', async () => {
      const own = `Odd "${ownName()}`;
      const quoted = `"${own.replaceAll('"', '""')}"`;
      await migrate(connection, { schema: own, component, migrations: [first] });
      const all = { schema: own, component, migrations: [first, second] };
      await Promise.all([1, 2, 3, 4].map(() => migrate(connection, all)));
      const { rows } = await connection.execute(`select * from ${quoted}.things`, []);
      expect(rows).toEqual([{ a: 1, b: 'x' }]);
      await connection.execute(`drop schema ${quoted} cascade`, []);
    });

    test('two versions at once: the tables are whole, and the older code says what is newer', async () => {
      const own = ownName();
      const [newer, older] = await Promise.allSettled([
        migrate(connection, { schema: own, component, migrations: [first, second] }),
        migrate(connection, { schema: own, component, migrations: [first] }),
      ]);
      expect(newer.status).toBe('fulfilled');
      if (older.status === 'rejected') expect(older.reason).toMatchObject({ code: 'CONFIGURATION' });
      const late = migrate(connection, { schema: own, component, migrations: [first] });
      await expect(late).rejects.toMatchObject({
        code: 'CONFIGURATION',
        message: expect.stringMatching(
          /of things in the schema .* are of version 2, and this code knows .* 1: update/,
        ),
      });
      const { rows } = await connection.execute(`select a from ${own}.things`, []);
      expect(rows).toHaveLength(1);
      await connection.execute(`drop schema ${own} cascade`, []);
    });

    test('one that fails leaves nothing of the others', async () => {
      const own = ownName();
      const wrong = { number: 2, sql: () => 'select nonsense' };
      await expect(
        migrate(connection, { schema: own, component, migrations: [first, wrong] }),
      ).rejects.toThrow();
      const { rows } = await connection.execute('select from pg_namespace where nspname = $1', [own]);
      expect(rows).toEqual([]);
    });
  });
});

test.each([
  [{}],
  [{ url: 'postgres://localhost', directory: './x' }],
  [{ url: 'mysql://localhost' }],
  [{ directory: '' }],
  [{ directory: './x', schema: '' }],
  [{ directory: './x', schema: 'pg_mine' }],
  [{ directory: './x', schema: 'x'.repeat(64) }],
])('options %j are refused', (options) => {
  expect(() => openPostgres(options)).toThrow(expect.objectContaining({ code: 'CONFIGURATION' }));
});

test('a PGlite of the caller is used, and stays open', async () => {
  await using given = await ownFolder();
  const pglite = await PGlite.create(given.path);
  const connection = openPostgres({ pglite });
  await connection.execute('create table t (n integer)', []);
  await connection.close();
  expect((await pglite.query('select count(*)::integer as n from t')).rows).toEqual([{ n: 0 }]);
  await pglite.close();
});

test.skipIf(serverUrl === undefined)(
  'a pool of the caller is used, and stays open (skipped without a server)',
  async () => {
    const pool = new pg.Pool({ connectionString: serverUrl as string, max: 1 });
    const connection = openPostgres({ pool });
    const heard: string[] = [];
    const channel = ownName();
    await connection.listen(channel, (payload) => heard.push(payload));
    await connection.execute('select pg_notify($1, $2)', [channel, 'one']);
    await vi.waitFor(() => expect(heard).toContain('one'));
    await connection.close();
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    await pool.end();
  },
);
