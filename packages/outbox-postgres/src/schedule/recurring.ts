import type { Troubles } from '@melange/backend-kit';
import { thrownText } from '@melange/core/adapter';
import { type PostgresConnection, quoteIdentifier } from '@melange/postgres';
import { channelOf } from '../database/names.ts';
import { nextTime } from './next-time.ts';
import { missedAfterMs } from './schedules.ts';

const subject = 'publishing what recurs';
const atOnce = 100;

/**
 * Writes the messages of recurring schedules into the outbox when they are due. Every relay does: the first to move a schedule from one
 * time to the next writes its message, in the same statement.
 */
export class RecurringMessages {
  readonly #connection: PostgresConnection;
  readonly #schema: string;
  readonly #channel: string;
  readonly #pollMs: number;
  readonly #troubles: Troubles;
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;
  #isClosed = false;

  constructor(connection: PostgresConnection, schema: string, pollMs: number, troubles: Troubles) {
    this.#connection = connection;
    this.#schema = quoteIdentifier(schema);
    this.#channel = channelOf(schema);
    this.#pollMs = pollMs;
    this.#troubles = troubles;
  }

  /** Looks now: there may be new ones. */
  wake(): void {
    if (this.#isClosed || this.#looking !== undefined) return;
    clearTimeout(this.#timer);
    this.#looking = this.#look().then((waitMs) => {
      this.#looking = undefined;
      if (this.#isClosed) return;
      this.#timer = setTimeout(() => this.wake(), waitMs);
      this.#timer.unref();
    });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    await this.#looking;
  }

  /** Resolves with the ms until the next look. Never rejects. */
  async #look(): Promise<number> {
    try {
      const { rows } = await this.#connection.execute(
        `select id, cron, time_zone, missed, (extract(epoch from next_at) * 1000)::float8 as next,
           (extract(epoch from clock_timestamp()) * 1000)::float8 as now
         from ${this.#schema}.outbox_recurring order by next_at limit ${atOnce}`,
        [],
      );
      const now = Number(rows[0]?.now);
      const due = rows.filter(({ next }) => Number(next) <= now);
      let fired = 0;
      for (const row of due) if (await this.#fire(row, now)) fired += 1;
      this.#troubles.end(subject);
      if (fired > 0) return 1;
      const [first] = rows.slice(due.length);
      return first === undefined
        ? this.#pollMs
        : Math.max(1, Math.min(this.#pollMs, Number(first.next) - now));
    } catch (error) {
      if (!this.#isClosed) this.#troubles.begin(subject, thrownText(error));
      return this.#pollMs;
    }
  }

  /** False for a schedule that this process cannot read, such as one in a time zone that it does not know: it stays due, and the others go on. */
  async #fire(row: Readonly<Record<string, unknown>>, now: number): Promise<boolean> {
    const [id, due] = [row.id as string, Math.round(Number(row.next))];
    const ownSubject = `${subject} by the schedule "${id}"`;
    let next: number;
    try {
      next = nextTime(row.cron as string, row.time_zone as string, now);
    } catch (error) {
      this.#troubles.begin(ownSubject, thrownText(error), true);
      return false;
    }
    this.#troubles.end(ownSubject);
    const isSkipped = row.missed === 'skip' && now - due > missedAfterMs;
    const time = new Date(due).toISOString();
    await this.#connection.execute(
      `with moved as (
         update ${this.#schema}.outbox_recurring set next_at = to_timestamp($2::text::double precision / 1000)
         where id = $1 and abs((extract(epoch from next_at) * 1000)::float8 - $3::text::float8) < 1 returning *
       ), added as (
         insert into ${this.#schema}.outbox (state, destination, lane, due_at, message_id, content, is_text, manifest, serializer_id,
           content_type, key, headers, published_at)
         select 'ready', destination, lane, clock_timestamp(), $4, content, is_text, manifest, serializer_id, content_type, key,
           (headers::jsonb || jsonb_build_object('scheduledFor', $5::text))::json, $3::text::double precision
         from moved where not $6::text::boolean returning 1
       )
       select length(pg_notify('${this.#channel}', '')::text) as notified from added`,
      // After its last time a schedule is due at infinity, which never comes.
      [id, String(next), String(due), `${id}@${time}`, time, String(isSkipped)],
    );
    return true;
  }
}
