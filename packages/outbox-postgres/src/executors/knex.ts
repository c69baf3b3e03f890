import type { SqlExecutor } from '@melange/postgres';
import { partsOf } from './placeholders.ts';

/** A transaction of Knex, as far as it is used here. */
export interface KnexTransaction {
  /** As `Knex.Transaction.raw`. */
  // biome-ignore lint/suspicious/noExplicitAny: the library's own type of a parameter is not one that others can name.
  raw(sql: string, parameters: readonly any[]): PromiseLike<unknown>;
}

/** Executes in a transaction of Knex on Postgres. */
export function knexExecutor(transaction: KnexTransaction): SqlExecutor {
  return {
    async execute(sql, parameters) {
      const parts = partsOf(sql, parameters);
      // Knex takes a question mark for a parameter.
      const text = parts.texts.map((part) => part.replaceAll('?', '\\?')).join('?');
      const result = await transaction.raw(text, parts.parameters);
      const { rows, rowCount } = result as { rows: Record<string, unknown>[]; rowCount: number | null };
      return { rows, rowCount: rowCount ?? rows.length };
    },
  };
}
