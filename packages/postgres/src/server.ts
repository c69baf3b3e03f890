import { type Logger, warningLogger } from '@melange/core';
import { unfailingLogger } from '@melange/core/adapter';
import pg from 'pg';
import type { PostgresConnection } from './connection.ts';
import { endsConnection } from './errors.ts';
import type { SqlExecutor, SqlResult } from './executor.ts';
import { Listener } from './listener.ts';
import type { PostgresOptions } from './options.ts';
import { serverTimeSql, wideInteger } from './values.ts';

const { INT8 } = pg.types.builtins;
const int8Array = 1016;

/** `int8` as a number, in arrays too; everything else as `pg` has it. */
const types = {
  getTypeParser: ((oid: number, format?: 'text' | 'binary') => {
    if (oid === INT8) return wideInteger;
    const parse = pg.types.getTypeParser(oid, format as 'text');
    return oid === int8Array ? (text: string) => wideIntegers(parse(text)) : parse;
  }) as typeof pg.types.getTypeParser,
};

function wideIntegers(parsed: unknown): unknown {
  if (Array.isArray(parsed)) return parsed.map(wideIntegers);
  return typeof parsed === 'string' ? wideInteger(parsed) : parsed;
}

/** A database on a server, by a pool of `pg`. */
export function openServer(options: PostgresOptions): PostgresConnection {
  const logger = unfailingLogger(options.logger ?? warningLogger);
  const { maxConnections = 10, connectTimeoutMs = 10_000, statementTimeoutMs = 30_000 } = options;
  const pool =
    (options.pool as pg.Pool | undefined) ??
    new pg.Pool({
      connectionString: options.url as string,
      max: maxConnections,
      connectionTimeoutMillis: connectTimeoutMs,
      keepAlive: true,
    });
  return new Server(pool, options.pool === undefined, statementTimeoutMs, logger);
}

class Server implements PostgresConnection {
  readonly address: string;
  readonly #pool: pg.Pool;
  readonly #isOwn: boolean;
  readonly #statementTimeoutMs: number;
  readonly #listener: Listener;
  readonly #onIdleError: (error: Error) => void;
  #closing: Promise<void> | undefined;

  constructor(pool: pg.Pool, isOwn: boolean, statementTimeoutMs: number, logger: Logger) {
    this.#pool = pool;
    this.#isOwn = isOwn;
    this.#statementTimeoutMs = statementTimeoutMs;
    this.address = addressOf(pool);
    this.#onIdleError = (error) =>
      logger.debug('an idle connection to Postgres was lost', { address: this.address, error });
    // Without a listener, an idle connection that is lost would end the process.
    pool.on('error', this.#onIdleError);
    const notify = async (channel: string, payload: string): Promise<void> => {
      await this.execute('select pg_notify($1, $2)', [channel, payload]);
    };
    this.#listener = new Listener(() => new pg.Client({ ...pool.options, keepAlive: true }), notify, logger);
  }

  get isListening(): boolean {
    return this.#listener.isListening;
  }

  execute(sql: string, parameters: readonly unknown[]): Promise<SqlResult> {
    return this.#withClient((client) => this.#query(client, sql, parameters));
  }

  transaction<Result>(work: (executor: SqlExecutor) => Promise<Result>): Promise<Result> {
    return this.#withClient(async (client) => {
      await this.#query(client, 'begin', []);
      let result: Result;
      let failure: unknown;
      const execute = async (sql: string, parameters: readonly unknown[]): Promise<SqlResult> => {
        try {
          return await this.#query(client, sql, parameters);
        } catch (error) {
          failure = error;
          throw error;
        }
      };
      try {
        result = await work({ execute });
      } catch (error) {
        // Where the connection is gone, the server rolls back by itself.
        if (!endsConnection(error)) await this.#query(client, 'rollback', []);
        throw error;
      }
      // A transaction in which a statement failed is rolled back by its commit, without an error.
      const isFailed = client.getTransactionStatus() === 'E';
      await this.#query(client, 'commit', []);
      if (isFailed) throw failure;
      return result;
    });
  }

  listen(channel: string, onNotify: (payload: string) => void): Promise<() => Promise<void>> {
    return this.#listener.listen(channel, onNotify);
  }

  async serverTime(): Promise<number> {
    const { rows } = await this.execute(serverTimeSql, []);
    return rows[0]?.now as number;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    await this.#listener.close();
    if (this.#isOwn) await this.#pool.end();
    this.#pool.removeListener('error', this.#onIdleError);
  }

  async #withClient<Result>(work: (client: pg.PoolClient) => Promise<Result>): Promise<Result> {
    const client = await this.#pool.connect();
    let failure: Error | undefined;
    const onError = (error: Error): void => {
      failure = error;
    };
    client.on('error', onError);
    try {
      return await work(client);
    } catch (error) {
      if (endsConnection(error)) failure ??= error as Error;
      throw error;
    } finally {
      client.release(failure ?? client.getTransactionStatus() !== 'I');
      client.removeListener('error', onError);
    }
  }

  async #query(client: pg.PoolClient, sql: string, parameters: readonly unknown[]): Promise<SqlResult> {
    const query = { text: sql, types, query_timeout: this.#statementTimeoutMs };
    const answer = await client.query<Record<string, unknown>>(
      parameters.length === 0 ? query : { ...query, values: [...parameters] },
    );
    const last = Array.isArray(answer) ? (answer.at(-1) as typeof answer) : answer;
    return { rows: last.rows, rowCount: last.rowCount ?? 0 };
  }
}

function addressOf(pool: pg.Pool): string {
  const { host, port } = new pg.Client(pool.options);
  return `${host}:${port}`;
}
