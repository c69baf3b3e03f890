import type { SqlExecutor } from '@melange/postgres';

/** A transaction of Kysely, as far as it is used here. */
export interface KyselyTransaction {
  /** As `Transaction.executeQuery`. */
  // biome-ignore lint/suspicious/noExplicitAny: a compiled query, whose nodes differ between versions of Kysely.
  executeQuery(query: any): Promise<{
    readonly rows: unknown[];
    readonly numAffectedRows?: bigint | undefined;
  }>;
}

/** Executes in a transaction of Kysely. */
export function kyselyExecutor(transaction: KyselyTransaction): SqlExecutor {
  return {
    async execute(sql, parameters) {
      const { rows, numAffectedRows } = await transaction.executeQuery({
        sql,
        parameters,
        query: { kind: 'RawNode', sqlFragments: [sql], parameters: [] },
        queryId: { queryId: 'melange' },
      });
      return { rows: rows as Record<string, unknown>[], rowCount: Number(numAffectedRows ?? rows.length) };
    },
  };
}
