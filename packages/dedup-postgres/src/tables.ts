import type { Migration } from '@melange/postgres';

/**
 * A key is a row: `fence` names who claimed it, `is_done` whether it was confirmed. Only the server's clock counts.
 *
 * The function takes the operations of one moment, in the order of their keys, so that two of its transactions never wait for each other in
 * a circle. A row that an inbox is about to commit is not waited for: its holder is still at work. Every operation may be
 * repeated with the same fence after a lost answer: the second time changes nothing.
 */
const first = (schema: string): string => `
create table ${schema}.deduplication (
  key text collate "C" primary key,
  fence text not null,
  is_done boolean not null,
  expires_at timestamptz not null
);
create index deduplication_expiry on ${schema}.deduplication (expires_at);

create function ${schema}.deduplicate_1(operations json) returns json
language plpgsql set jit = off set lock_timeout = '5s' as $$
declare
  operation record;
  found_row ${schema}.deduplication;
  is_locked boolean;
  until_then timestamptz;
  answers json[] := array[]::json[];
  answer text;
  remaining double precision;
begin
  for operation in
    select * from json_to_recordset(operations) as o(place integer, name text, key text, fence text, ms double precision)
    order by o.key, o.place
  loop
    until_then := clock_timestamp() + operation.ms * interval '1 ms';
    remaining := null;
    select * into found_row from ${schema}.deduplication d where d.key = operation.key for update skip locked;
    is_locked := false;
    if found_row.key is null then
      select * into found_row from ${schema}.deduplication d where d.key = operation.key;
      is_locked := found_row.key is not null;
    end if;
    if operation.name = 'claim' then
      if found_row.key is null then
        insert into ${schema}.deduplication values (operation.key, operation.fence, false, until_then) on conflict do nothing;
        answer := case when found then 'claimed' else 'held' end;
      elsif not is_locked and (found_row.expires_at <= clock_timestamp()
        or (not found_row.is_done and found_row.fence = operation.fence)) then
        update ${schema}.deduplication d set fence = operation.fence, is_done = false, expires_at = until_then
          where d.key = operation.key;
        answer := 'claimed';
      else
        answer := case when found_row.is_done then 'done' else 'held' end;
        remaining := extract(epoch from found_row.expires_at - clock_timestamp()) * 1000;
      end if;
    elsif found_row.key is null or found_row.fence <> operation.fence
      -- Its time is over: it may be another's at any moment.
      or (not is_locked and found_row.expires_at <= clock_timestamp()) then
      answer := 'no';
    elsif operation.name = 'confirm' then
      if not found_row.is_done then
        update ${schema}.deduplication d set is_done = true, expires_at = until_then
          where d.key = operation.key and d.fence = operation.fence and not d.is_done;
      end if;
      answer := 'yes';
    elsif found_row.is_done then
      answer := 'no';
    elsif operation.name = 'release' then
      if not is_locked then delete from ${schema}.deduplication d where d.key = operation.key; end if;
      answer := 'yes';
    else
      if not is_locked then
        update ${schema}.deduplication d set expires_at = greatest(d.expires_at, until_then) where d.key = operation.key;
      end if;
      answer := 'yes';
    end if;
    answers := answers || json_build_object('place', operation.place, 'answer', answer, 'remainingMs', remaining);
  end loop;
  return array_to_json(answers);
end $$;
`;

/** The tables of the cache, step by step. */
export const migrations: readonly Migration[] = [{ number: 1, sql: first }];
