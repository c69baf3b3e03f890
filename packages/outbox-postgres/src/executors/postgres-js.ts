import type { SqlExecutor } from '@melange/postgres';

/** What `sql.begin` of the package `postgres` hands to its callback. */
export interface PostgresJsTransaction {
  /** As `sql.unsafe`. */
  // biome-ignore lint/suspicious/noExplicitAny: the library's own type of a parameter is not one that others can name.
  unsafe(sql: string, parameters: any[]): PromiseLike<readonly object[] & { readonly count: number | null }>;
}

/** Executes in a transaction of the package `postgres`. */
export function postgresJsExecutor(transaction: PostgresJsTransaction): SqlExecutor {
  return {
    async execute(sql, parameters) {
      const rows = await transaction.unsafe(sql, [...parameters]);
      return { rows: [...rows] as Record<string, unknown>[], rowCount: rows.count ?? rows.length };
    },
  };
}
