import type { SqlExecutor } from '@melange/postgres';

/** The `EntityManager` that TypeORM hands to the callback of `transaction`, or a `QueryRunner` with a transaction. */
export interface TypeOrmManager {
  /** As `EntityManager.query`. */
  // biome-ignore lint/suspicious/noExplicitAny: as TypeORM has it.
  query(sql: string, parameters?: any[]): Promise<any>;
}

/** Executes in a transaction of TypeORM on Postgres. */
export function typeOrmExecutor(manager: TypeOrmManager): SqlExecutor {
  return {
    async execute(sql, parameters) {
      const result: unknown = await manager.query(sql, [...parameters]);
      // It answers rows to `select`, and rows with their number to anything else.
      const [rows, rowCount] = isCounted(result) ? result : [result as Record<string, unknown>[], undefined];
      return { rows, rowCount: rowCount ?? rows.length };
    },
  };
}

function isCounted(result: unknown): result is [Record<string, unknown>[], number] {
  return (
    Array.isArray(result) && result.length === 2 && Array.isArray(result[0]) && typeof result[1] === 'number'
  );
}
