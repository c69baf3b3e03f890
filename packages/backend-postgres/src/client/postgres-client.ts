import type { ConnectionDriver, DriverContext } from '@melange/backend-kit';
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
  readonly #context: DriverContext;
  readonly #wakers = new Map<string, Set<() => void>>();
  #listening: Promise<unknown> | undefined;

  constructor(settings: PostgresSettings, context: DriverContext) {
    this.settings = settings;
    this.schema = quoteIdentifier(settings.schema);
    this.channel = `${settings.schema}_queues`.slice(-63);
    const isEmbedded = settings.directory !== undefined || settings.pglite !== undefined;
    this.timeoutMs = isEmbedded ? Math.max(settings.connectTimeoutMs, minStartMs) : settings.connectTimeoutMs;
    this.#context = context;
    this.#connection = openPostgres({ ...settings, logger: context.logger });
    this.address = this.#connection.address;
  }

  /** Makes the tables where they are missing. The connections themselves are made and made again by the pool. */
  async connect(): Promise<void> {
    await migrate(this.#connection, { component: 'queues', migrations, schema: this.settings.schema });
  }

  /** Whether publishes wake subscribers. */
  get isListening(): boolean {
    return this.#connection.isListening;
  }

  /** The rows that a statement answers. */
  async query(sql: string, parameters: readonly unknown[]): Promise<Row[]> {
    try {
      return (await this.#connection.execute(sql, parameters)).rows;
    } catch (error) {
      if (isDropped(error)) this.#context.connectionLost('the tables are gone');
      throw error;
    }
  }

  /** Several statements, all or none. */
  async transaction<Result>(work: (executor: SqlExecutor) => Promise<Result>): Promise<Result> {
    try {
      return await this.#connection.transaction(work);
    } catch (error) {
      if (isDropped(error)) this.#context.connectionLost('the tables are gone');
      throw error;
    }
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

  /** @param payload number of the queue; empty when notifications may have been missed. */
  #wake(payload: string): void {
    const queues = payload === '' ? [...this.#wakers.keys()] : [payload];
    for (const queue of queues) for (const wake of this.#wakers.get(queue) ?? []) wake();
  }
}
