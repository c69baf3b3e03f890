import { MelangeError } from '@melange/core';
import type { PostgresConnection } from './connection.ts';
import { codeOf } from './errors.ts';
import type { SqlExecutor } from './executor.ts';
import { defaultSchema, quoteIdentifier } from './options.ts';

/** One step of the tables of a component. Never changed once it was released: the next one corrects it. */
export interface Migration {
  /** From 1, without gaps. */
  readonly number: number;
  /**
   * Statements, executed in one transaction with those of the other migrations.
   *
   * @param schema name of the schema, quoted: `create table ${schema}.messages (…)`.
   */
  sql(schema: string): string;
}

/** What to migrate. */
export interface MigrateOptions {
  /** Whose tables: `queues`, `outbox`, `deduplication`. Each component counts its own migrations. */
  readonly component: string;
  /** All there are, in their order. */
  readonly migrations: readonly Migration[];
  /** Schema of the tables, made if it is missing. Default: `melange`. */
  readonly schema?: string;
}

/** Rights are missing, in SQLSTATE. */
const insufficientPrivilege = '42501';
/** Any number, the same in every version: the lock of all migrations of a database. */
const lockNumber = 7_305_808_869_232_650;

/**
 * Makes the tables of a component, or brings them to the version that this code knows. Several processes and versions may do so at
 * once: one after the other, each all or nothing. Nothing is written, and no right to create is needed, where there is nothing to do.
 *
 * @throws MelangeError `CONFIGURATION` when the tables are of a newer version than this code knows, or when the right to create them is
 * missing: then with the SQL to execute in their place.
 */
export async function migrate(connection: PostgresConnection, options: MigrateOptions): Promise<void> {
  if (isUpToDate(await installed(connection, options), options)) return;
  try {
    await connection.transaction(async (executor) => {
      await executor.execute('select pg_advisory_xact_lock($1::bigint)', [lockNumber]);
      const found = await installed(executor, options);
      if (isUpToDate(found, options)) return;
      for (const sql of statementsOf(options, found)) await executor.execute(sql, []);
    });
  } catch (error) {
    if (codeOf(error) === insufficientPrivilege) throw await withoutRights(connection, options, error);
    throw error;
  }
}

/** What there is in the database. */
interface Installed {
  readonly hasSchema: boolean;
  readonly hasTable: boolean;
  /** Number of the last migration of the component; 0 before the first one. */
  readonly number: number;
}

const nothing: Installed = { hasSchema: false, hasTable: false, number: 0 };

async function installed(executor: SqlExecutor, options: MigrateOptions): Promise<Installed> {
  const { component, schema = defaultSchema } = options;
  const { rows } = await executor.execute(
    `select exists (select from pg_namespace where nspname = $1) as has_schema,
       exists (select from pg_tables where schemaname = $1 and tablename = 'migrations') as has_table`,
    [schema],
  );
  const hasSchema = rows[0]?.has_schema === true;
  if (rows[0]?.has_table !== true) return { ...nothing, hasSchema };
  const { rows: numbers } = await executor.execute(
    `select coalesce(max(number), 0) as number from ${quoteIdentifier(schema)}.migrations where component = $1`,
    [component],
  );
  return { hasSchema, hasTable: true, number: Number(numbers[0]?.number) };
}

/** @throws MelangeError `CONFIGURATION` when the tables are newer. */
function isUpToDate({ number }: Installed, options: MigrateOptions): boolean {
  const { component, migrations, schema = defaultSchema } = options;
  const known = migrations.at(-1)?.number ?? 0;
  if (number <= known) return number === known;
  throw new MelangeError(
    'CONFIGURATION',
    `The tables of ${component} in the schema "${schema}" are of version ${number}, and this code knows versions up to ${known}: update the Melange packages of this service.`,
  );
}

/** Each to be executed by itself, from what is found to what is known. */
function statementsOf(options: MigrateOptions, { hasSchema, hasTable, number: from }: Installed): string[] {
  const schema = quoteIdentifier(options.schema ?? defaultSchema);
  const component = options.component.replaceAll("'", "''");
  const statements: string[] = [];
  if (!hasSchema) statements.push(`create schema ${schema}`);
  if (!hasTable)
    statements.push(
      `create table ${schema}.migrations (component text not null, number integer not null, at timestamptz not null default now(), primary key (component, number))`,
    );
  for (const { number, sql } of options.migrations) {
    if (number <= from) continue;
    statements.push(sql(schema).trim().replace(/;$/, ''));
    statements.push(
      `insert into ${schema}.migrations (component, number) values ('${component}', ${number})`,
    );
  }
  return statements;
}

async function withoutRights(
  connection: PostgresConnection,
  options: MigrateOptions,
  cause: unknown,
): Promise<MelangeError> {
  const { component, schema = defaultSchema } = options;
  // The right to read the table may be missing too.
  const found = await installed(connection, options).catch(() => nothing);
  const { rows } = await connection.execute('select current_user::text as name', []);
  const user = quoteIdentifier(String(rows[0]?.name));
  const quoted = quoteIdentifier(schema);
  const sql = [
    'begin',
    ...statementsOf(options, found),
    `grant usage on schema ${quoted} to ${user}`,
    `grant select, insert, update, delete on all tables in schema ${quoted} to ${user}`,
    `grant usage on all sequences in schema ${quoted} to ${user}`,
    'commit',
  ];
  return new MelangeError(
    'CONFIGURATION',
    `The user ${user} may not create the tables of ${component} in the schema ${quoted}. Execute this as a user who may, then start again:\n\n${sql.join(';\n')};\n`,
    { cause },
  );
}
