import { checkContentBytes, type Outgoing, type PublishDriver } from '@melange/backend-kit';
import { QueueNotFoundError, TopicNotFoundError } from '@melange/core';
import { postgresCapabilities } from './capabilities.ts';
import type { PostgresClient } from './client/postgres-client.ts';
import { type PostgresRecord, toRecord } from './wire.ts';

/** A batch is one statement, which stores all of it and wakes the subscribers, or nothing. */
export function publishing(client: PostgresClient): PublishDriver<PostgresRecord> {
  const toQueue = queueStatement(client);
  const toTopic = topicStatement(client);
  return {
    encode(message) {
      checkContentBytes(message, postgresCapabilities.maxMessageBytes);
      return toRecord(message);
    },
    bytesOf: ({ body, headers }) => body.length + headers.length,
    limitsOf: () => ({ maxMessages: 500, maxBytes: 4_000_000 }),
    async send({ kind, name }, batch) {
      const isQueue = kind === 'queue';
      const columns = [batch.map(keyOf), batch.map(headersOf), batch.map(bodyOf)];
      const last = isQueue ? batch.map(delayOf) : batch.map(manifestOf);
      const [answer] = await client.query(isQueue ? toQueue : toTopic, [name, ...columns, last]);
      if (answer?.found === 0) throw isQueue ? new QueueNotFoundError(name) : new TopicNotFoundError(name);
      return undefined;
    },
  };
}

const keyOf = ({ encoded }: Outgoing<PostgresRecord>): string | null => encoded.orderingKey;
const headersOf = ({ encoded }: Outgoing<PostgresRecord>): string => encoded.headers;
const bodyOf = ({ encoded }: Outgoing<PostgresRecord>): string => encoded.body;
const manifestOf = ({ encoded }: Outgoing<PostgresRecord>): string => encoded.manifest;
const delayOf = ({ delayMs }: Outgoing<PostgresRecord>): number => delayMs;

/** The row of the queue is held, so that a queue that is deleted meanwhile leaves no messages behind. */
function queueStatement({ schema, channel }: PostgresClient): string {
  return `
with found as materialized (select id from ${schema}.queues where name = $1 for key share),
stored as (
  insert into ${schema}.messages (queue, ordering_key, headers, body, visible_at, is_delayed)
  select found.id, m.ordering_key, m.headers::json, decode(m.body, 'base64'),
    case when m.delay_ms > 0 then clock_timestamp() + m.delay_ms * interval '1 millisecond' end, m.delay_ms > 0
  from found, unnest($2::text[], $3::text[], $4::text[], $5::float8[])
    with ordinality as m (ordering_key, headers, body, delay_ms, number)
  order by m.number
)
select count(*)::integer as found, count(pg_notify('${channel.replaceAll("'", "''")}', id::text)) from found`;
}

function topicStatement({ schema, channel }: PostgresClient): string {
  return `
with found as materialized (select name from ${schema}.topics where name = $1),
bound as materialized (
  select b.queue, b.manifests from ${schema}.bindings b join ${schema}.queues q on q.id = b.queue
  where b.topic = $1 for key share of q
),
stored as (
  insert into ${schema}.messages (queue, ordering_key, headers, body)
  select bound.queue, m.ordering_key, m.headers::json, decode(m.body, 'base64')
  from unnest($2::text[], $3::text[], $4::text[], $5::text[])
    with ordinality as m (ordering_key, headers, body, manifest, number)
  join bound on bound.manifests is null or m.manifest = any(bound.manifests)
  order by m.number
)
select (select count(*)::integer from found) as found,
  (select count(pg_notify('${channel.replaceAll("'", "''")}', queue::text)) from bound)`;
}
