import type { Migration } from '@melange/postgres';
import { exchangeFunction } from './exchange-function.ts';

/**
 * Columns of a message that waits. `id` is the order of publication. The states:
 *
 * - `ready`: to be published now.
 * - `claimed`: a relay has it.
 * - `retrying`: publishing failed; ready again at `due_at`. Rows of its lane wait behind it.
 * - `behind`: not before the rows of its lane that are claimed or retrying.
 * - `scheduled`: ready at `due_at`; no row waits for it.
 *
 * Each state has an index of its own, so that a relay never reads over rows that it cannot publish, however many there are.
 */
const tables = (schema: string): string => `
create table ${schema}.outbox (
  id bigint generated always as identity primary key,
  state text collate "C" not null,
  destination text collate "C" not null,
  lane bigint,
  due_at timestamptz not null,
  expires_at timestamptz,
  attempts integer not null default 0,
  relay bigint,
  created_at timestamptz not null default clock_timestamp(),
  schedule_id text collate "C",
  message_id text not null,
  content bytea,
  is_text boolean not null,
  manifest text,
  serializer_id integer,
  content_type text,
  key text,
  headers json not null,
  published_at double precision,
  error text,
  check (state in ('ready', 'claimed', 'retrying', 'behind', 'scheduled'))
) with (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
create index outbox_ready on ${schema}.outbox (destination, id) where state = 'ready';
create index outbox_waiting on ${schema}.outbox (destination, due_at) where state in ('retrying', 'scheduled');
create index outbox_claimed on ${schema}.outbox (relay) where state = 'claimed';
create index outbox_behind on ${schema}.outbox (id) where state = 'behind';
create index outbox_lanes on ${schema}.outbox (lane, state, id) where lane is not null;
create unique index outbox_schedules on ${schema}.outbox (schedule_id) where schedule_id is not null;

create table ${schema}.outbox_refused (
  id bigint primary key,
  destination text collate "C" not null,
  lane bigint,
  attempts integer not null,
  created_at timestamptz not null,
  refused_at timestamptz not null default clock_timestamp(),
  code text not null,
  reason text not null,
  message_id text not null,
  content bytea,
  is_text boolean not null,
  manifest text,
  serializer_id integer,
  content_type text,
  key text,
  headers json not null,
  published_at double precision
);

create table ${schema}.outbox_relays (
  id bigint generated always as identity primary key,
  alive_until timestamptz not null
);

create table ${schema}.outbox_recurring (
  id text collate "C" primary key,
  cron text not null,
  time_zone text not null,
  missed text not null,
  next_at timestamptz not null,
  destination text not null,
  lane bigint,
  content bytea,
  is_text boolean not null,
  manifest text,
  serializer_id integer,
  content_type text,
  key text,
  headers json not null,
  check (missed in ('once', 'skip'))
);
create index outbox_recurring_due on ${schema}.outbox_recurring (next_at);
`;

/** The tables of the outbox, step by step. */
export const migrations: readonly Migration[] = [
  { number: 1, sql: (schema) => tables(schema) + exchangeFunction(schema) },
];
