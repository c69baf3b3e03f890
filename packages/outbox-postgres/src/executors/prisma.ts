import type { SqlExecutor } from '@melange/postgres';

/** What `$transaction` of Prisma hands to its callback. */
export interface PrismaTransaction {
  /** As `PrismaClient.$queryRawUnsafe`. */
  $queryRawUnsafe(sql: string, ...parameters: unknown[]): PromiseLike<unknown>;
}

/** Executes in an interactive transaction of Prisma on Postgres. */
export function prismaExecutor(transaction: PrismaTransaction): SqlExecutor {
  return {
    async execute(sql, parameters) {
      const rows = (await transaction.$queryRawUnsafe(sql, ...parameters)) as Record<string, unknown>[];
      return { rows, rowCount: rows.length };
    },
  };
}
