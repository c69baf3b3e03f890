import type { ConnectionDriver, DriverContext } from '@melange/backend-kit';
import { MelangeError } from '@melange/core';
import {
  migrate,
  openPostgres,
  type PostgresConnection,
  quoteIdentifier,
  type SqlExecutor,
} from '@melange/postgres';
import { isDropped } from '../errors.ts';
import type { PostgresSettings } from '../options.ts';
import { migrations } from './tables.ts';

/** A new PGlite makes its folder, which takes seconds, and more on a busy machine. */
const minStartMs = 60_000;

type Row = Record<string, unknown>;

/** The database, and who is woken when a queue receives something. */
export class PostgresClient implements ConnectionDriver {
  readonly address: string;
  readonly timeoutMs: number;
  readonly settings: PostgresSettings;
  /** The schema, quoted. */
  readonly schema: string;
  /** Channel of the notifications: their payload is the number of the queue. */
  readonly channel: string;
  readonly #connection: PostgresConnection;
  #hasTables = false;
  readonly #wakers = new Map<string, Set<() => void>>();
  #listening: Promise<unknown> | undefined;

  constructor(settings: PostgresSettings, context: DriverContext) {
    this.settings = settings;
    this.schema = quoteIdentifier(settings.schema);
    this.channel = `${settings.schema}_queues`.slice(-63);
    const isEmbedded = settings.directory !== undefined || settings.pglite !== undefined;
    this.timeoutMs = isEmbedded ? Math.max(settings.connectTimeoutMs, minStartMs) : settings.connectTimeoutMs;
    this.#connection = openPostgres({ ...settings, logger: context.logger });
    this.address = this.#connection.address;
  }

  /**
   * Makes the tables where they are missing. The connections themselves are made and made again by the pool.
   *
   * Tables that this user may not make, or of another version, are no matter of the connection: each request says so.
   */
  async connect(): Promise<void> {
    try {
      await this.#migrate();
    } catch (error) {
      if (!MelangeError.is(error, 'CONFIGURATION')) throw error;
    }
  }

  /** Whether publishes wake subscribers. */
  get isListening(): boolean {
    return this.#connection.isListening;
  }

  /** The rows that a statement answers. */
  async query(sql: string, parameters: readonly unknown[]): Promise<Row[]> {
    return this.#withTables(async () => (await this.#connection.execute(sql, parameters)).rows);
  }

  /** Several statements, all or none. */
  async transaction<Result>(work: (executor: SqlExecutor) => Promise<Result>): Promise<Result> {
    return this.#withTables(() => this.#connection.transaction(work));
  }

  /** Calls back whenever there may be something new in the queue, until the returned function is called. */
  async wakeOn(queue: number, wake: () => void): Promise<() => void> {
    this.#listening ??= this.#connection.listen(this.channel, (payload) => this.#wake(payload));
    await this.#listening;
    const key = String(queue);
    const wakers = this.#wakers.get(key) ?? new Set();
    this.#wakers.set(key, wakers.add(wake));
    return () => {
      wakers.delete(wake);
      if (wakers.size === 0 && this.#wakers.get(key) === wakers) this.#wakers.delete(key);
    };
  }

  close(): Promise<void> {
    return this.#connection.close();
  }

  async #migrate(): Promise<void> {
    await migrate(this.#connection, { component: 'queues', migrations, schema: this.settings.schema });
    this.#hasTables = true;
  }

  async #withTables<Result>(work: () => Promise<Result>): Promise<Result> {
    if (!this.#hasTables) await this.#migrate();
    try {
      return await work();
    } catch (error) {
      // Somebody dropped them: they are made again by the next try.
      if (isDropped(error)) this.#hasTables = false;
      throw error;
    }
  }

  /** @param payload number of the queue; empty when notifications may have been missed. */
  #wake(payload: string): void {
    const queues = payload === '' ? [...this.#wakers.keys()] : [payload];
    for (const queue of queues) for (const wake of this.#wakers.get(queue) ?? []) wake();
  }
}
