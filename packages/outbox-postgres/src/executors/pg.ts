import type { SqlExecutor } from '@melange/postgres';

/** A client of `pg`, between its `begin` and its `commit`. */
export interface PgClient {
  /** As `Client.query`. */
  query(
    sql: string,
    parameters: unknown[],
  ): Promise<{ readonly rows: Record<string, unknown>[]; readonly rowCount: number | null }>;
}

/** Executes in the transaction that is open on a client of `pg`. A pool will not do: each statement of it has another connection. */
export function pgExecutor(client: PgClient): SqlExecutor {
  return {
    async execute(sql, parameters) {
      const { rows, rowCount } = await client.query(sql, [...parameters]);
      return { rows, rowCount: rowCount ?? rows.length };
    },
  };
}
