import type { PullSource } from '@melange/backend-kit';
import { QueueNotFoundError } from '@melange/core';
import type { PostgresClient } from '../client/postgres-client.ts';
import { fromRow, toRecord } from '../wire.ts';
import type { PostgresTaken } from './taken.ts';

type Settling = Omit<PullSource<PostgresTaken>, 'take' | 'close'>;

/**
 * Each settlement names the rows with their tickets: a row that somebody else has taken meanwhile, or that was settled before
 * although the answer was lost, is none of them.
 *
 * @param queueId number of the queue.
 * @param wake the subscription has to look for messages: a key is free.
 */
export function settling(client: PostgresClient, queueId: () => number, wake: () => void): Settling {
  const { schema, settings } = client;
  const channel = `'${client.channel.replaceAll("'", "''")}'`;
  const mine = `m.id = given.id and m.ticket = given.ticket`;
  const given = `unnest($1::bigint[], $2::bigint[]) as given (id, ticket)`;
  const named = (batch: readonly PostgresTaken[]): [unknown[], number[]] => [
    batch.map(({ row }) => row.id),
    batch.map(({ ticket }) => ticket),
  ];
  const wakeForKeys = (batch: readonly PostgresTaken[]): void => {
    if (batch.some(({ hasKey }) => hasKey)) wake();
  };

  return {
    async acknowledge(batch) {
      await client.query(`delete from ${schema}.messages m using ${given} where ${mine}`, named(batch));
      wakeForKeys(batch);
      return undefined;
    },
    asDelivered: ({ row }) => fromRow(row).message,
    async retry(taken, { delayMs, attempt, redeliveries }) {
      await client.query(
        // Behind the others, which else would have to wait for it; with a key it keeps its place, and its key waits.
        `update ${schema}.messages m set ticket = null, attempt = $3::integer, redeliveries = $4::integer,
           visible_at = case when $5::float8 > 0 then clock_timestamp() + $5::float8 * interval '1 millisecond' end,
           place = case when ordering_key is null then nextval('${schema.replaceAll("'", "''")}.places') else place end
         from ${given} where ${mine}`,
        [...named([taken]), attempt, redeliveries, delayMs],
      );
      wake();
    },
    async deadLetter(taken, deadLetterQueue, copy) {
      const { headers, body, orderingKey } = toRecord(copy);
      const [answer] = await client.query(
        `with target as materialized (select id from ${schema}.queues where name = $3 for key share),
         gone as (
           delete from ${schema}.messages m using ${given}, target where ${mine} returning m.id
         ),
         stored as (
           insert into ${schema}.messages (queue, ordering_key, headers, body)
           select target.id, $4, $5::json, decode($6, 'base64') from gone, target
         )
         select count(*)::integer as found, count(pg_notify(${channel}, id::text)) from target`,
        [...named([taken]), deadLetterQueue, orderingKey, headers, body],
      );
      if (answer?.found === 0) throw new QueueNotFoundError(deadLetterQueue);
      wakeForKeys([taken]);
    },
    async release(batch, wereRunning) {
      await client.query(
        `with released as (
           update ${schema}.messages m set ticket = null, visible_at = null, redeliveries = m.redeliveries + $3::integer
           from ${given} where ${mine} returning m.id
         )
         select pg_notify(${channel}, $4::text)`,
        [...named(batch), wereRunning ? 1 : 0, String(queueId())],
      );
    },
    leases: {
      leaseMs: settings.leaseMs,
      async renew(batch) {
        const rows = await client.query(
          `update ${schema}.messages m set visible_at = clock_timestamp() + $3::float8 * interval '1 millisecond'
           from ${given} where ${mine} returning m.id, set_config('synchronous_commit', 'off', true)`,
          [...named(batch), settings.leaseMs],
        );
        const renewed = new Set(rows.map(({ id }) => id));
        return batch.filter(({ row }) => !renewed.has(row.id));
      },
    },
  };
}
