/**
 * The functions by which a relay tells the database what became of rows, and claims others: one round trip, one transaction.
 *
 * A lock makes exchanges one after the other. It decides, with the lanes, that two relays never have rows of one lane at once, and it
 * is held for the milliseconds that the server itself needs: nothing that the client does or fails to do prolongs it, as no statement of
 * the client follows and the answer is small (ids, no content). Each statement begins after the lock and sees what was committed
 * before. Publishers never wait for it: they only insert.
 *
 * Rows that somebody else has locked by hand are skipped, not waited for.
 *
 * The version is in the names: an older version of the code goes on with its own while a newer one is rolled out.
 */
export const exchangeFunction = (schema: string): string => `
create function ${schema}.outbox_wake_1(lanes bigint[], lane_limit integer) returns void
language sql set jit = off set enable_seqscan = off as $$
  update ${schema}.outbox set state = 'ready' where id in (
    select b.id from (select distinct unnest(lanes) as lane) l cross join lateral (
      select o.id from ${schema}.outbox o where o.lane = l.lane and o.state = 'behind'
      order by o.id limit lane_limit for update skip locked
    ) b
    where not exists (select from ${schema}.outbox o where o.lane = l.lane and o.state = 'claimed')
      and not exists (select from ${schema}.outbox o where o.lane = l.lane and o.state = 'retrying')
  )
$$;

create function ${schema}.outbox_register_1(old_relay bigint, held bigint[], lease_ms double precision) returns bigint
language plpgsql set jit = off set enable_seqscan = off as $$
declare
  new_relay bigint;
begin
  perform pg_advisory_xact_lock(hashtext('melange outbox'), hashtext('${schema.replaceAll("'", "''")}'));
  if lease_ms > 0 then
    insert into ${schema}.outbox_relays (alive_until)
      values (clock_timestamp() + lease_ms * interval '1 ms') returning id into new_relay;
  end if;
  if old_relay is not null then
    delete from ${schema}.outbox_relays where id = old_relay;
    update ${schema}.outbox set state = 'ready', relay = null
      where state = 'claimed' and relay = old_relay and id <> all (held);
    update ${schema}.outbox set relay = new_relay where state = 'claimed' and relay = old_relay;
  end if;
  return new_relay;
end $$;

create function ${schema}.outbox_exchange_1(this_relay bigint, request json) returns json
language plpgsql set jit = off set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set lock_timeout = '10s' as $$
declare
  is_alive boolean;
  woken bigint[];
  expired integer := 0;
  claimed json;
  parked integer := 0;
  next_due_ms double precision;
  excluded text[] := array(select json_array_elements_text(request->'excluded'));
  probed text[] := array(select json_array_elements_text(request->'probed'));
  claim_limit integer := (request->>'claimLimit')::integer;
  destination_limit integer := (request->>'destinationLimit')::integer;
  lane_limit integer := (request->>'laneLimit')::integer;
begin
  -- What a crash of the server forgets is published again, under the same id.
  perform set_config('synchronous_commit', 'off', true);
  perform pg_advisory_xact_lock(hashtext('melange outbox'), hashtext('${schema.replaceAll("'", "''")}'));

  -- The relay lives; whoever's time has run out does not.
  update ${schema}.outbox_relays set alive_until = clock_timestamp() + (request->>'leaseMs')::double precision * interval '1 ms'
    where id = this_relay;
  is_alive := found;
  with dead as (delete from ${schema}.outbox_relays where alive_until < clock_timestamp() returning id)
    update ${schema}.outbox o set state = 'ready', relay = null from dead where o.state = 'claimed' and o.relay = dead.id;

  -- What became of rows. One that was published is done, whoever has it by now.
  with published as (
    delete from ${schema}.outbox where id in (
      select o.id from ${schema}.outbox o
      join json_array_elements_text(request->'published') p on o.id = p.value::bigint for update of o skip locked
    ) returning lane
  ), refused as (
    delete from ${schema}.outbox o using json_to_recordset(request->'refused') as r(id bigint, code text, reason text)
    where o.id = r.id and o.state = 'claimed' and o.relay = this_relay
    returning o.*, r.code as code, r.reason as reason
  ), kept as (
    insert into ${schema}.outbox_refused (id, destination, lane, attempts, created_at, code, reason, message_id, content,
      is_text, manifest, serializer_id, content_type, key, headers, published_at)
    select id, destination, lane, attempts + 1, created_at, code, reason, message_id, content,
      is_text, manifest, serializer_id, content_type, key, headers, published_at from refused
  ), failed as (
    update ${schema}.outbox o set state = 'retrying', relay = null, attempts = o.attempts + 1, error = f.error,
      due_at = clock_timestamp() + f."delayMs" * interval '1 ms'
    from json_to_recordset(request->'failed') as f(id bigint, "delayMs" double precision, error text)
    where o.id = f.id and o.state = 'claimed' and o.relay = this_relay
  ), returned as (
    update ${schema}.outbox o set state = case when o.lane is null then 'ready' else 'behind' end, relay = null
    from json_array_elements_text(request->'returned') r
    where o.id = r.value::bigint and o.state = 'claimed' and o.relay = this_relay
    returning o.lane
  )
  select array_agg(lane) into woken from (
    select lane from published union select lane from refused union select lane from returned
  ) settled where lane is not null;
  if woken is not null then perform ${schema}.outbox_wake_1(woken, lane_limit); end if;

  -- A destination that works again need not wait for each row's own time.
  update ${schema}.outbox set due_at = clock_timestamp()
    where state in ('retrying', 'scheduled') and state = 'retrying' and due_at > clock_timestamp()
      and destination in (select json_array_elements_text(request->'recovered'));

  -- What is due.
  with recursive d(destination) as (
    (select o.destination from ${schema}.outbox o where o.state in ('retrying', 'scheduled') order by o.destination limit 1)
    union all
    select (select o.destination from ${schema}.outbox o where o.state in ('retrying', 'scheduled') and o.destination > d.destination
      order by o.destination limit 1) from d where d.destination is not null
  ), due as (
    select o.id, o.is_expired from d cross join lateral (
      select w.id, coalesce(w.state = 'scheduled' and w.expires_at < clock_timestamp(), false) as is_expired from ${schema}.outbox w
      where w.state in ('retrying', 'scheduled') and w.destination = d.destination and w.due_at <= clock_timestamp()
      order by w.due_at limit case when d.destination = any (probed) then 1 else destination_limit end for update skip locked
    ) o where d.destination is not null and d.destination <> all (excluded)
      -- Whether a destination works again is tried with a message that has not failed yet, where there is one: others may fail for themselves.
      and (d.destination <> all (probed) or not exists (
        select from ${schema}.outbox r where r.state = 'ready' and r.destination = d.destination))
  ), gone as (
    delete from ${schema}.outbox where id in (select id from due where is_expired) returning 1
  ), readied as (
    update ${schema}.outbox set state = 'ready' where id in (select id from due where not is_expired)
  )
  select count(*) into expired from gone;

  if is_alive and claim_limit > 0 then
    with recursive d(destination) as (
      (select o.destination from ${schema}.outbox o where o.state = 'ready' order by o.destination limit 1)
      union all
      select (select o.destination from ${schema}.outbox o where o.state = 'ready' and o.destination > d.destination
        order by o.destination limit 1) from d where d.destination is not null
    ), found as (
      select o.id, o.lane, o.rank from d cross join lateral (
        select r.id, r.lane, row_number() over () as rank from (
          select w.id, w.lane from ${schema}.outbox w where w.state = 'ready' and w.destination = d.destination
          order by w.id limit case when d.destination = any (probed) then 1 else destination_limit end
          for update skip locked
        ) r
      ) o where d.destination is not null and d.destination <> all (excluded)
    ), picked as materialized (
      -- From all destinations alike.
      select id, lane from found order by rank, id limit claim_limit
    ), lanes as materialized (
      select array_agg(p.id order by p.id) as ids,
        exists (select from ${schema}.outbox o where o.lane = p.lane and o.state = 'claimed')
          or exists (select from ${schema}.outbox o where o.lane = p.lane and o.state = 'retrying')
          -- Somebody has locked a row among them.
          or (select count(*) from ${schema}.outbox o where o.lane = p.lane and o.state = 'ready' and o.id <= max(p.id)) > count(*)
          as is_blocked,
        (select min(o.id) from ${schema}.outbox o where o.lane = p.lane and o.state = 'behind') as behind_from
      from picked p where p.lane is not null group by p.lane
    ), judged as (
      select u.id, not l.is_blocked and coalesce(u.id < l.behind_from, true) and u.place <= lane_limit as is_mine
      from lanes l cross join lateral unnest(l.ids) with ordinality as u(id, place)
      union all select id, true from picked where lane is null
    ), changed as (
      update ${schema}.outbox o set state = case when j.is_mine then 'claimed' else 'behind' end,
        relay = case when j.is_mine then this_relay end
      from judged j where o.id = j.id returning o.id, j.is_mine
    )
    select json_agg(id order by id) filter (where is_mine), count(*) filter (where not is_mine) into claimed, parked from changed;
  end if;

  with recursive d(destination) as (
    (select o.destination from ${schema}.outbox o where o.state in ('retrying', 'scheduled') order by o.destination limit 1)
    union all
    select (select o.destination from ${schema}.outbox o where o.state in ('retrying', 'scheduled') and o.destination > d.destination
      order by o.destination limit 1) from d where d.destination is not null
  )
  select min(extract(epoch from o.due_at - clock_timestamp()) * 1000) into next_due_ms from d cross join lateral (
    select w.due_at from ${schema}.outbox w where w.state in ('retrying', 'scheduled') and w.destination = d.destination
    order by w.due_at limit 1
  ) o where d.destination is not null and d.destination <> all (excluded);

  return json_build_object('isAlive', is_alive, 'claimed', coalesce(claimed, '[]'), 'parked', parked,
    'expired', expired, 'nextDueMs', next_due_ms);
end $$;
`;
