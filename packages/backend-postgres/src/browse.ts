import { type BrowseDriver, badCursor } from '@melange/backend-kit';
import { QueueNotFoundError } from '@melange/core';
import type { PostgresClient } from './client/postgres-client.ts';
import { fromRow, type MessageRow } from './wire.ts';

/** Reads rows, in the order of places: a cursor is the place of the last message of its page. */
export function browsing(client: PostgresClient): BrowseDriver {
  const statement = browseStatement(client.schema);
  return {
    async browse(queue, { after = '0', limit }) {
      if (!/^\d{1,18}$/.test(after)) throw badCursor(after);
      // One more tells whether there is another page.
      const rows = await client.query(statement, [queue, after, limit + 1]);
      if (rows.length === 0) throw new QueueNotFoundError(queue);
      const found = rows.filter(({ id }) => id !== null);
      const page = found.slice(0, limit);
      return {
        messages: page.map((row) => fromRow(row as unknown as MessageRow).message),
        next: found.length > limit ? String(page.at(-1)?.place) : undefined,
      };
    },
  };
}

/** Each part by its index. Answers one row without a message where the queue has none, and none where there is no queue. */
function browseStatement(schema: string): string {
  const columns = `m.id, m.place, m.headers, encode(m.body, 'base64') as body, m.attempt, m.redeliveries`;
  return `
select shown.* from ${schema}.queues q left join lateral (
  (select ${columns} from ${schema}.messages m
    where m.queue = q.id and m.visible_at is null and m.place > $2::bigint order by m.place limit $3)
  union all
  (select ${columns} from ${schema}.messages m
    where m.queue = q.id and m.visible_at is not null and m.place > $2::bigint
      and (m.ticket is not null or m.visible_at <= clock_timestamp()) order by m.place limit $3)
  order by place limit $3
) as shown on true
where q.name = $1 order by shown.place`;
}
