import type { Message } from '@melange/core';
import { type PostgresConnection, quoteIdentifier } from '@melange/postgres';
import { messageColumns, messageOf } from '../database/rows.ts';

/** Id of a row. 64 bits; identities of one table never get that far. */
export type RowId = number;

/** A row that this relay has claimed. */
export interface ClaimedRow {
  readonly id: RowId;
  readonly destination: string;
  /** Rows of one lane are published one after the other; `undefined` for a row without a key. */
  readonly lane: string | undefined;
  /** Failed attempts before. */
  readonly attempts: number;
  readonly message: Message;
}

/** What became of rows. */
export interface Settlements {
  readonly published: readonly RowId[];
  readonly failed: readonly { readonly id: RowId; readonly delayMs: number; readonly error: string }[];
  readonly refused: readonly { readonly id: RowId; readonly code: string; readonly reason: string }[];
  /** Not tried. */
  readonly returned: readonly RowId[];
}

/** What a relay tells and asks for in one exchange. */
export interface ExchangeRequest extends Settlements {
  readonly leaseMs: number;
  /** Bound of all rows, of those for one destination, and of those of one lane. 0: claims nothing. */
  readonly claimLimit: number;
  readonly destinationLimit: number;
  readonly laneLimit: number;
  /** Destinations that nothing is claimed for. */
  readonly excluded: readonly string[];
  /** Destinations that one row is claimed for, to see whether they work again. */
  readonly probed: readonly string[];
  /** Destinations whose rows need not wait for their own retry any more. */
  readonly recovered: readonly string[];
}

/** Answer to an exchange. */
export interface ExchangeAnswer {
  /** Whether the relay is still taken for alive. If not, its rows are others' now. */
  readonly isAlive: boolean;
  readonly claimed: readonly RowId[];
  /** Rows that were found to wait behind others of their lane. */
  readonly parked: number;
  /** Scheduled messages that were dropped because they were missed, as they asked for. */
  readonly expired: number;
  /** Until the next row is due, in ms; `null` when none is known. */
  readonly nextDueMs: number | null;
}

/** How a relay talks to the tables. */
export class RelayStore {
  readonly #connection: PostgresConnection;
  readonly #schema: string;

  constructor(connection: PostgresConnection, schema: string) {
    this.#connection = connection;
    this.#schema = quoteIdentifier(schema);
  }

  /**
   * Makes the relay known under a new number, and hands on to it the rows of its old one that it still works on; the others are
   * free. With a lease of 0 it only gives up the old one.
   */
  async register(old: number | undefined, held: readonly RowId[], leaseMs: number): Promise<number> {
    const { rows } = await this.#connection.execute(
      `select ${this.#schema}.outbox_register_1($1, array(select json_array_elements_text($2::text::json)::bigint), $3) as id`,
      [old ?? null, JSON.stringify(held), leaseMs],
    );
    return Number(rows[0]?.id);
  }

  async exchange(relay: number, request: ExchangeRequest): Promise<ExchangeAnswer> {
    const { rows } = await this.#connection.execute(
      `select ${this.#schema}.outbox_exchange_1($1, $2::text::json) as answer`,
      [relay, JSON.stringify(request)],
    );
    return rows[0]?.answer as ExchangeAnswer;
  }

  /** In the order of their ids. */
  async read(ids: readonly RowId[]): Promise<ClaimedRow[]> {
    const { rows } = await this.#connection.execute(
      `select id, destination, lane::text as lane, attempts, ${messageColumns} from ${this.#schema}.outbox
       where id in (select json_array_elements_text($1::text::json)::bigint) order by id`,
      [JSON.stringify(ids)],
    );
    return rows.map((row) => ({
      id: Number(row.id),
      destination: row.destination as string,
      lane: (row.lane as string | null) ?? undefined,
      attempts: row.attempts as number,
      message: messageOf(row),
    }));
  }
}
