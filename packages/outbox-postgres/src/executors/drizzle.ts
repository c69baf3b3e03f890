import type { SqlExecutor } from '@melange/postgres';
import { partsOf } from './placeholders.ts';

/** A transaction of Drizzle on Postgres, as far as it is used here. */
export interface DrizzleTransaction<Query> {
  /** As `PgTransaction.execute`. */
  execute(query: Query): PromiseLike<unknown>;
}

/** The tag `sql` of Drizzle. */
export type DrizzleTag<Query> = (texts: TemplateStringsArray, ...parameters: unknown[]) => Query;

/**
 * Executes in a transaction of Drizzle, on any of its drivers of Postgres.
 *
 * @param sql the tag `sql` of `drizzle-orm`, by which Drizzle tells its own queries from text.
 */
export function drizzleExecutor<Query>(
  transaction: DrizzleTransaction<Query>,
  sql: DrizzleTag<Query>,
): SqlExecutor {
  return {
    async execute(statement, parameters) {
      const parts = partsOf(statement, parameters);
      const texts = Object.assign([...parts.texts], { raw: parts.texts });
      const result = await transaction.execute(
        sql(texts as unknown as TemplateStringsArray, ...parts.parameters),
      );
      // Its driver's own: an array of rows of `postgres`, an object of `pg`.
      const rows = (Array.isArray(result) ? [...result] : (result as { rows: unknown[] }).rows) as Record<
        string,
        unknown
      >[];
      const { rowCount, count } = result as { rowCount?: number | null; count?: number };
      return { rows, rowCount: rowCount ?? count ?? rows.length };
    },
  };
}
