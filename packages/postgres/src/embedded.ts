import { BrokerUnavailableError } from '@melange/core';
import type { PostgresConnection } from './connection.ts';
import type { SqlExecutor, SqlResult } from './executor.ts';
import { useFolder } from './folder.ts';
import type { EmbeddedAnswer, EmbeddedExecutor, EmbeddedPostgres } from './libraries.ts';
import { type PostgresOptions, quoteIdentifier } from './options.ts';
import { serverTimeSql, wideInteger } from './values.ts';

const int8 = 20;
const parsers = { [int8]: wideInteger };

/** A database in this process, by PGlite. */
export function openEmbedded({ directory, pglite }: PostgresOptions): PostgresConnection {
  return new Embedded(pglite, directory);
}

class Embedded implements PostgresConnection {
  readonly address: string;
  readonly #given: EmbeddedPostgres | undefined;
  readonly #directory: string;
  #opening: Promise<{ readonly pglite: EmbeddedPostgres; release(): Promise<void> }> | undefined;
  #closing: Promise<void> | undefined;
  #listening = 0;

  constructor(given: EmbeddedPostgres | undefined, directory: string | undefined) {
    this.#given = given;
    this.#directory = directory ?? given?.dataDir ?? '';
    this.address = this.#directory === '' ? 'PGlite in memory' : `PGlite in ${this.#directory}`;
  }

  get isListening(): boolean {
    return this.#listening > 0;
  }

  async execute(sql: string, parameters: readonly unknown[]): Promise<SqlResult> {
    return executeOn(await this.#pglite(), sql, parameters);
  }

  async transaction<Result>(work: (executor: SqlExecutor) => Promise<Result>): Promise<Result> {
    const pglite = await this.#pglite();
    return pglite.transaction((transaction) =>
      work({ execute: (sql, parameters) => executeOn(transaction, sql, parameters) }),
    );
  }

  async listen(channel: string, onNotify: (payload: string) => void): Promise<() => Promise<void>> {
    let unlisten: (() => Promise<void>) | undefined;
    try {
      const pglite = await this.#pglite();
      unlisten = await pglite.listen(quoteIdentifier(channel), (payload) => onNotify(payload));
    } catch {
      // Whatever is asked next says why.
      return async () => undefined;
    }
    this.#listening += 1;
    return async () => {
      this.#listening -= unlisten === undefined ? 0 : 1;
      await unlisten?.().catch(() => undefined);
      unlisten = undefined;
    };
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
    const opened = await this.#opening?.catch(() => undefined);
    await opened?.release();
  }

  async #pglite(): Promise<EmbeddedPostgres> {
    if (this.#closing !== undefined) throw new BrokerUnavailableError('The connection to PGlite is closed.');
    if (this.#given !== undefined) return this.#given;
    this.#opening ??= useFolder(this.#directory);
    try {
      return (await this.#opening).pglite;
    } catch (error) {
      this.#opening = undefined;
      throw error;
    }
  }
}

async function executeOn(
  executor: EmbeddedExecutor,
  sql: string,
  parameters: readonly unknown[],
): Promise<SqlResult> {
  if (parameters.length > 0) {
    const options = { parsers };
    return answerOf(await executor.query(sql, [...parameters], options));
  }
  const answers = await executor.exec(sql, { parsers });
  const [last, before] = [answers.at(-1), answers.at(-2)];
  // It counts the rows of all statements.
  return last === undefined ? { rows: [], rowCount: 0 } : answerOf(last, before?.affectedRows);
}

function answerOf({ rows, fields, affectedRows = 0 }: EmbeddedAnswer, countedBefore = 0): SqlResult {
  return {
    rows: rows as Record<string, unknown>[],
    rowCount: fields.length > 0 ? rows.length : affectedRows - countedBefore,
  };
}
