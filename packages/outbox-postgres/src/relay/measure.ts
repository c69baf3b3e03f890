import { quoteIdentifier, type SqlExecutor } from '@melange/postgres';

/** What waits in an outbox. Rows of transactions that are not committed are not seen by anybody. */
export interface OutboxState {
  /** Messages to be published as soon as possible: all but those that are scheduled. Counted up to 100,000. */
  readonly backlog: number;
  /** Of them: those whose last attempt failed. */
  readonly retrying: number;
  /** Of them: those that wait for an earlier message of their key. Counted up to 100,000. */
  readonly behind: number;
  /** Age of the oldest of them, in ms by the server's clock; `undefined` when there is none. */
  readonly oldestAgeMs: number | undefined;
  /** Messages whose time has not come. Counted up to 100,000. */
  readonly scheduled: number;
  /** Messages that were set aside, for they were refused. */
  readonly refused: number;
}

/** Reads as little as it can: it is asked for again and again, also of a table with millions of rows. */
export async function measure(executor: SqlExecutor, schemaName: string): Promise<OutboxState> {
  const schema = quoteIdentifier(schemaName);
  const count = (condition: string): string =>
    `(select count(*) from (select from ${schema}.outbox where ${condition} limit 100000) x)`;
  const { rows } = await executor.execute(
    `with recursive d(destination) as (
       (select destination from ${schema}.outbox where state = 'ready' order by destination limit 1)
       union all
       select (select o.destination from ${schema}.outbox o where o.state = 'ready' and o.destination > d.destination
         order by o.destination limit 1) from d where d.destination is not null
     ), oldest(created_at) as (
       select o.created_at from d cross join lateral (select created_at from ${schema}.outbox w
         where w.state = 'ready' and w.destination = d.destination order by w.id limit 1) o
       union all (select created_at from ${schema}.outbox where state = 'claimed')
       union all (select created_at from ${schema}.outbox where state in ('retrying', 'scheduled') and state = 'retrying' limit 100000)
       union all (select created_at from ${schema}.outbox where state = 'behind' order by id limit 1)
     )
     select ${count("state = 'ready'")} as ready, ${count("state = 'claimed'")} as claimed, ${count("state = 'behind'")} as behind,
       ${count("state in ('retrying', 'scheduled') and state = 'retrying'")} as retrying,
       ${count("state in ('retrying', 'scheduled') and state = 'scheduled'")} as scheduled,
       (select count(*) from ${schema}.outbox_refused) as refused,
       (select (extract(epoch from clock_timestamp() - min(created_at)) * 1000)::float8 from oldest) as oldest_age_ms`,
    [],
  );
  const row = rows[0] as Record<string, number | null>;
  const of = (name: string): number => Number(row[name]);
  return {
    backlog: of('ready') + of('claimed') + of('behind') + of('retrying'),
    retrying: of('retrying'),
    behind: of('behind'),
    oldestAgeMs: row.oldest_age_ms ?? undefined,
    scheduled: of('scheduled'),
    refused: of('refused'),
  };
}

/**
 * Rows that wait for none of their lane any more, since somebody deleted the earlier ones by hand, are made ready. The oldest come first, so
 * that all are found in time. Resolves with the number of lanes.
 */
export async function wakeOrphans(
  executor: SqlExecutor,
  schemaName: string,
  laneLimit: number,
): Promise<number> {
  const schema = quoteIdentifier(schemaName);
  const { rows } = await executor.execute(
    `select array_agg(distinct b.lane)::text as lanes, count(distinct b.lane)::integer as count from (
       select lane from ${schema}.outbox where state = 'behind' order by id limit 100
     ) b where not exists (select from ${schema}.outbox o where o.lane = b.lane and o.state in ('ready', 'claimed', 'retrying'))`,
    [],
  );
  const count = Number(rows[0]?.count);
  if (count > 0)
    await executor.execute(`select ${schema}.outbox_wake_1($1::text::bigint[], $2)`, [
      rows[0]?.lanes,
      laneLimit,
    ]);
  return count;
}
