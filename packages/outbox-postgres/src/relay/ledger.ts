import type { Logger, RetryPolicy } from '@melange/core';
import { thrownText } from '@melange/core/adapter';
import type { ClaimedRow, RowId, Settlements } from './exchange.ts';
import type { OutboxRelayCounters } from './options.ts';
import type { RowOutcome } from './publish-rows.ts';
import { codeOfRefusal } from './refusal.ts';
import { PendingSettlements } from './settlements.ts';

/** A message that failed so often is told of. */
const toldAtAttempt = 5;

/** The rows that this process has, and what became of them, until the database was told. */
export class Ledger {
  readonly #retry: Pick<RetryPolicy, 'delayMs'>;
  readonly #logger: Logger;
  readonly #pending = new PendingSettlements();
  readonly #held = new Set<RowId>();
  readonly #counters = {
    published: 0,
    failed: 0,
    refused: 0,
    skipped: 0,
    lastPublishedAt: undefined as number | undefined,
  };
  #unsettled = 0;

  constructor(retry: Pick<RetryPolicy, 'delayMs'>, logger: Logger) {
    this.#retry = retry;
    this.#logger = logger;
  }

  get counters(): OutboxRelayCounters {
    return { ...this.#counters };
  }

  /** Rows whose outcome is not known yet. */
  get unsettled(): number {
    return this.#unsettled;
  }

  /** Rows that the database still takes for this relay's. */
  get held(): RowId[] {
    return [...this.#held];
  }

  /** Whether the database knows all. */
  get isTold(): boolean {
    return this.#pending.isEmpty;
  }

  begin(rows: readonly ClaimedRow[]): void {
    this.#unsettled += rows.length;
    for (const { id } of rows) this.#held.add(id);
  }

  skipped(count: number): void {
    this.#counters.skipped += count;
  }

  settle({ id, attempts, message, destination }: ClaimedRow, outcome: RowOutcome): void {
    this.#unsettled -= 1;
    if (outcome.kind === 'published') {
      this.#counters.published += 1;
      this.#counters.lastPublishedAt = Date.now();
      this.#pending.published(id);
      return;
    }
    if (outcome.kind === 'returned') {
      this.#pending.returned(id);
      return;
    }
    const reason = thrownText(outcome.error);
    const facts = { destination, messageId: message.id, key: message.key, attempts: attempts + 1, reason };
    if (outcome.kind === 'refused') {
      this.#counters.refused += 1;
      this.#pending.refused({ id, code: codeOfRefusal(outcome.error), reason });
      this.#logger.error('a message of the outbox was refused and set aside', facts);
      return;
    }
    this.#counters.failed += 1;
    const delayMs = this.#retry.delayMs(attempts + 1, Math.random());
    this.#pending.failed({ id, delayMs, error: reason });
    if (attempts + 1 === toldAtAttempt)
      this.#logger.warn('a message of the outbox cannot be published, and is tried again', facts);
  }

  /** What the database is to be told. */
  take(): Settlements {
    return this.#pending.take();
  }

  /** It could not be told, or it is not known. */
  putBack(settlements: Settlements): void {
    this.#pending.putBack(settlements);
  }

  /** It was told. */
  told({ published, failed, refused, returned }: Settlements): void {
    for (const id of published) this.#held.delete(id);
    for (const { id } of failed) this.#held.delete(id);
    for (const { id } of refused) this.#held.delete(id);
    for (const id of returned) this.#held.delete(id);
  }
}
