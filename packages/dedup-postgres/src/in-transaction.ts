import { AsyncLocalStorage } from 'node:async_hooks';
import { MelangeError, type Middleware } from '@melange/core';
import type { SqlExecutor } from '@melange/postgres';
import type { PostgresDeduplicationCache } from './postgres-deduplication-cache.ts';

/** How your library runs a transaction. */
export interface InTransactionOptions<Transaction> {
  /** The cache of the dispatcher, in the same database as the effects. */
  readonly cache: PostgresDeduplicationCache;
  /**
   * Begins a transaction, commits it when `work` resolves, and rolls it back when that rejects, rejecting itself:
   * `(work) => database.transaction(work)`.
   */
  readonly begin: (work: (transaction: Transaction) => Promise<void>) => Promise<unknown>;
  /** Executes in the transaction: `pgExecutor`, `kyselyExecutor`, … of `@melange/outbox-postgres`. */
  readonly executor: (transaction: Transaction) => SqlExecutor;
}

/** Handlers that run inside of a transaction each. */
export interface Inbox<Transaction> {
  /** For the dispatcher, or a queue of a service. */
  readonly middleware: Middleware;
  /**
   * The transaction of the handler that runs.
   *
   * @throws MelangeError `CONFIGURATION` outside of a handler that has the middleware.
   */
  transaction(): Transaction;
}

/**
 * An inbox: each run of a consumer is one transaction, in which the effects of the handler and the confirm of the cache are committed
 * together. Both happen or neither does, so that no crash repeats an effect; and a handler that lost its claim, since it hung for longer
 * than its lease, is rolled back.
 *
 * It holds for what the handler does with `transaction()`, and for nothing else.
 */
export function inTransaction<Transaction>({
  cache,
  begin,
  executor,
}: InTransactionOptions<Transaction>): Inbox<Transaction> {
  const storage = new AsyncLocalStorage<{ readonly transaction: Transaction }>();
  return {
    async middleware(context, next) {
      const token = cache.claimOf(context.deduplicationKey);
      if (token === undefined)
        throw new MelangeError(
          'CONFIGURATION',
          `"${context.consumer}" runs without a claim of the inbox's cache: give the dispatcher the same cache, and leave \`deduplication.onUnavailable\` at "retry".`,
        );
      await begin(async (transaction) => {
        await storage.run({ transaction }, next);
        if (await cache.confirmWithin(executor(transaction), token)) return;
        throw new MelangeError(
          'CLAIM_HELD',
          `The claim of "${context.consumer}" on message ${context.messageId} was lost: its transaction is rolled back.`,
        );
      });
    },
    transaction() {
      const store = storage.getStore();
      if (store !== undefined) return store.transaction;
      throw new MelangeError(
        'CONFIGURATION',
        'There is no transaction here: call it in a handler whose dispatcher has the middleware of the inbox.',
      );
    },
  };
}
