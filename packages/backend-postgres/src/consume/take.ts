import type { DriverContext, PullDriver, Take } from '@melange/backend-kit';
import { QueueNotFoundError } from '@melange/core';
import type { PostgresClient } from '../client/postgres-client.ts';
import { fromRow, type MessageRow } from '../wire.ts';
import { settling } from './settle.ts';
import type { PostgresTaken } from './taken.ts';

/** Shortest time between two looks for messages of requests whose answer was lost, in ms. */
const giveBackEveryMs = 500;

/** Asks for rows that nobody else has, and leases them. */
export function consuming(client: PostgresClient, { clock }: DriverContext): PullDriver<PostgresTaken> {
  const { schema, settings } = client;
  const statement = takeStatement(schema);
  return {
    kind: 'pull',
    async open({ queue, untilEmpty, wake }) {
      const findQueue = async (): Promise<number> => {
        const [row] = await client.query(`select id from ${schema}.queues where name = $1`, [queue]);
        if (row === undefined) throw new QueueNotFoundError(queue);
        return row.id as number;
      };
      let id = await findQueue();
      let sleep = await client.wakeOn(id, wake);
      /** Tickets of requests whose answer was lost, and since when: their messages are nobody's, as soon as the server has got so far. */
      const lost = new Map<number, number>();
      let lookedAt = Number.NEGATIVE_INFINITY;

      const giveBackLost = async (): Promise<void> => {
        const now = clock.monotonicNow();
        for (const [ticket, since] of lost) if (now - since > settings.leaseMs) lost.delete(ticket);
        if (lost.size === 0 || now - lookedAt < giveBackEveryMs) return;
        lookedAt = now;
        await client.query(
          `update ${schema}.messages set visible_at = null, ticket = null
           where queue = $1 and visible_at is not null and ticket = any($2::bigint[])`,
          [id, [...lost.keys()]],
        );
      };

      const pauseMs = (dueMs: unknown): number => {
        const pollMs = client.isListening ? settings.pollMs : Math.ceil(settings.pollMs / 5);
        return typeof dueMs === 'number' ? Math.min(pollMs, Math.max(1, Math.ceil(dueMs))) : pollMs;
      };

      /** Whether something waits for a message of its key that is being worked on. */
      const isHeldUp = async (): Promise<boolean> => {
        const [row] = await client.query(
          `select exists (select from ${schema}.messages m join ${schema}.messages o
             on o.queue = m.queue and o.ordering_key = m.ordering_key and o.ticket is not null
             where m.queue = $1 and m.visible_at is null) as is_held_up`,
          [id],
        );
        return row?.is_held_up === true;
      };

      return {
        ...settling(client, () => id, wake),
        async take(max): Promise<Take<PostgresTaken>> {
          await giveBackLost();
          const ticket = Math.floor(Math.random() * Number.MAX_SAFE_INTEGER);
          lost.set(ticket, clock.monotonicNow());
          const rows = await client.query(statement, [id, max, settings.leaseMs, ticket]);
          lost.delete(ticket);
          const first = rows[0];
          if (first?.queue_exists !== true) {
            // Deleted, and perhaps declared again: then it has another number.
            id = await findQueue();
            sleep();
            sleep = await client.wakeOn(id, wake);
            return { taken: [], nextMs: 1, isEmpty: false };
          }
          if (first.id === null) {
            const isEmpty = !untilEmpty || !(await isHeldUp());
            return { taken: [], nextMs: pauseMs(first.due_ms), isEmpty };
          }
          const taken = rows.map((row) => takenFrom(row, ticket));
          return { taken, nextMs: pauseMs(first.due_ms) };
        },
        close() {
          sleep();
        },
      };
    },
  };
}

function takenFrom(row: Record<string, unknown>, ticket: number): PostgresTaken {
  const message = row as unknown as MessageRow;
  return { ...fromRow(message), row: message, ticket, hasKey: row.has_key === true };
}

/**
 * Takes what is due and what is ready, in the order of places; a message with a key only when none of its key is before it, nor
 * being worked on. Answers one row without a message when there is none.
 *
 * A taken message that a server forgets in a crash is merely handed out again: this need not wait for the disk.
 */
function takeStatement(schema: string): string {
  const isFirstOfItsKey = `(m.ordering_key is null or not exists (
      select from ${schema}.messages o where o.queue = m.queue and o.ordering_key = m.ordering_key and o.id <> m.id
        and (o.ticket is not null or (o.place < m.place and not (o.is_delayed and o.visible_at > clock_timestamp())))))`;
  return `
with due as materialized (
  select m.id from ${schema}.messages m
  where m.queue = $1 and m.visible_at <= clock_timestamp() and ${isFirstOfItsKey}
  order by m.visible_at limit $2 for update skip locked
),
ready as materialized (
  select m.id from ${schema}.messages m
  where m.queue = $1 and m.visible_at is null and ${isFirstOfItsKey}
  order by m.place limit $2 - (select count(*) from due) for update skip locked
),
taken as (
  update ${schema}.messages m
  set visible_at = clock_timestamp() + $3::float8 * interval '1 millisecond', ticket = $4::bigint, is_delayed = false,
    redeliveries = m.redeliveries + case when m.ticket is null then 0 else 1 end
  where m.id in (select id from due union all select id from ready)
  returning m.id, m.place, m.headers, encode(m.body, 'base64') as body, m.attempt, m.redeliveries, m.ordering_key is not null as has_key
)
select taken.*, queue.queue_exists, queue.due_ms
from (
  select exists (select from ${schema}.queues where id = $1) as queue_exists,
    (select extract(epoch from min(m.visible_at) - clock_timestamp())::float8 * 1000
      from ${schema}.messages m where m.queue = $1 and m.visible_at > clock_timestamp()) as due_ms,
    set_config('synchronous_commit', 'off', true) as no_wait
) as queue left join taken on true
order by taken.place`;
}
