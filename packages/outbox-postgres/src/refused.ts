import type { Message } from '@melange/core';
import { quoteIdentifier, type SqlExecutor } from '@melange/postgres';
import { channelOf, type DestinationKind, defaultSchema, splitDestination } from './database/names.ts';
import { messageColumns, messageOf } from './database/rows.ts';

/** A message that the broker refused for good. */
export interface RefusedMessage {
  /** Its number in the outbox. */
  readonly id: number;
  /** What it was published to. */
  readonly kind: DestinationKind;
  /** Name of the queue or topic. */
  readonly destination: string;
  /** Code of the error: `MESSAGE_TOO_LARGE`. */
  readonly code: string;
  /** The error, as text. */
  readonly reason: string;
  /** Attempts to publish it. */
  readonly attempts: number;
  /** When it was set aside. */
  readonly refusedAt: Date;
  /** The message as it was to be published. */
  readonly message: Message;
}

/** The messages of an outbox that were set aside: to be looked at, published again, or discarded. */
export class RefusedMessages {
  readonly #executor: SqlExecutor;
  readonly #schemaName: string;
  readonly #schema: string;

  /** @param executor a `PostgresConnection`, or a transaction. */
  constructor(executor: SqlExecutor, { schema = defaultSchema }: { readonly schema?: string } = {}) {
    this.#executor = executor;
    this.#schemaName = schema;
    this.#schema = quoteIdentifier(schema);
  }

  /**
   * The oldest ones.
   *
   * @param after id of the last one of the page before. Default: from the first.
   * @param limit default: 100.
   */
  async list({
    after = 0,
    limit = 100,
  }: {
    readonly after?: number;
    readonly limit?: number;
  } = {}): Promise<RefusedMessage[]> {
    const { rows } = await this.#executor.execute(
      `select id, destination, code, reason, attempts, refused_at, ${messageColumns} from ${this.#schema}.outbox_refused
       where id > $1 order by id limit $2`,
      [after, limit],
    );
    return rows.map((row) => {
      const { kind, name } = splitDestination(row.destination as string);
      return {
        id: Number(row.id),
        kind,
        destination: name,
        code: row.code as string,
        reason: row.reason as string,
        attempts: row.attempts as number,
        refusedAt: row.refused_at as Date,
        message: messageOf(row),
      };
    });
  }

  /**
   * Puts messages back at the end of the outbox, with their ids. Resolves with the number that were there.
   *
   * @param ids default: all.
   */
  async requeue(ids?: readonly number[]): Promise<number> {
    const columns = `destination, lane, created_at, ${messageColumns}`;
    const { rows } = await this.#executor.execute(
      `with taken as (
         delete from ${this.#schema}.outbox_refused where $1::text is null or id in (select json_array_elements_text($1::text::json)::bigint)
         returning id as refused_id, ${columns}
       ), added as (
         insert into ${this.#schema}.outbox (state, due_at, ${columns})
         select 'ready', clock_timestamp(), ${columns} from taken order by refused_id returning 1
       )
       select requeued, length(pg_notify('${channelOf(this.#schemaName)}', '')::text) as notified
       from (select count(*)::integer as requeued from added) a`,
      [ids === undefined ? null : JSON.stringify(ids)],
    );
    return Number(rows[0]?.requeued);
  }

  /** Deletes messages for good. Resolves with the number that were there. */
  async discard(ids: readonly number[]): Promise<number> {
    const { rows } = await this.#executor.execute(
      `with taken as (
         delete from ${this.#schema}.outbox_refused where id in (select json_array_elements_text($1::text::json)::bigint) returning 1
       ) select count(*)::integer as discarded from taken`,
      [JSON.stringify(ids)],
    );
    return Number(rows[0]?.discarded);
  }
}
