import type { Migration } from '@melange/postgres';

/**
 * The tables. A message is one row in each queue that receives it:
 *
 * - `visible_at` is null when the message can be handed out; else it can be from then on: it is delayed, or leased until then;
 * - `ticket` names the request that took it, and proves ownership: it is null unless the message is leased;
 * - `place` is the place in the queue. It is no time: clocks step;
 * - `ordering_key` is the key, or what stands for it;
 * - `is_delayed` says that its publisher delayed it: then it holds up no other message of its key.
 *
 * The three partial indexes have what can be handed out, what waits for its time, and the keys, and no more.
 */
export const migrations: readonly Migration[] = [
  {
    number: 1,
    sql: (schema) => `
create table ${schema}.queues (
  id integer generated always as identity primary key,
  name text not null unique,
  dead_letter_queue text
);
create table ${schema}.topics (name text primary key);
create table ${schema}.bindings (
  topic text not null references ${schema}.topics on delete cascade,
  queue integer not null references ${schema}.queues on delete cascade,
  manifests text[],
  primary key (topic, queue)
);
create sequence ${schema}.places as bigint cache 1;
create table ${schema}.messages (
  id bigint generated always as identity primary key,
  place bigint not null default nextval('${schema.replaceAll("'", "''")}.places'),
  queue integer not null,
  visible_at timestamptz,
  ticket bigint,
  attempt integer not null default 1,
  redeliveries integer not null default 0,
  is_delayed boolean not null default false,
  ordering_key text,
  headers json not null,
  body bytea not null
) with (
  fillfactor = 80,
  autovacuum_vacuum_scale_factor = 0,
  autovacuum_vacuum_threshold = 5000,
  autovacuum_vacuum_cost_delay = 0,
  autovacuum_analyze_scale_factor = 0.2,
  autovacuum_analyze_threshold = 5000
);
create index messages_ready on ${schema}.messages (queue, place) where visible_at is null;
create index messages_waiting on ${schema}.messages (queue, visible_at) where visible_at is not null;
create index messages_keys on ${schema}.messages (queue, ordering_key, place) where ordering_key is not null`,
  },
];
