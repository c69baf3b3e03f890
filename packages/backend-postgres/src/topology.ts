import {
  type DriverContext,
  describedFilter,
  redeclaredFilter,
  type TopologyDriver,
} from '@melange/backend-kit';
import { type QueueOptions, TopologyConflictError } from '@melange/core';
import type { SqlExecutor } from '@melange/postgres';
import type { PostgresClient } from './client/postgres-client.ts';
import { storable } from './wire.ts';

/** Any number, the same in every version: declarations of one database come one after the other. */
const lockNumber = 7_305_808_869_232_651;

/** Queues, topics and bindings are rows. */
export function topology(client: PostgresClient, { logger }: DriverContext): TopologyDriver<QueueOptions> {
  const { schema } = client;

  const makeQueue = async (
    executor: SqlExecutor,
    name: string,
    deadLetterQueue: string | null,
  ): Promise<Queue> => {
    await executor.execute(
      `insert into ${schema}.queues (name, dead_letter_queue) values ($1, $2) on conflict (name) do nothing`,
      [name, deadLetterQueue],
    );
    const { rows } = await executor.execute(
      `select id, dead_letter_queue from ${schema}.queues where name = $1`,
      [name],
    );
    return rows[0] as unknown as Queue;
  };

  const makeTopic = async (executor: SqlExecutor, name: string): Promise<void> => {
    const sql = `insert into ${schema}.topics (name) values ($1) on conflict (name) do nothing`;
    await executor.execute(sql, [name]);
  };

  const bind = async (
    executor: SqlExecutor,
    queue: string,
    { id }: Queue,
    topic: string,
    options: QueueOptions,
  ): Promise<void> => {
    await makeTopic(executor, topic);
    const { rows } = await executor.execute(
      `select manifests from ${schema}.bindings where topic = $1 and queue = $2`,
      [topic, id],
    );
    const known = rows.map(({ manifests }) => filterOf(manifests));
    const filter = redeclaredFilter({ queue, topic }, known, options, logger);
    await executor.execute(
      `insert into ${schema}.bindings (topic, queue, manifests) values ($1, $2, $3::text[])
       on conflict (topic, queue) do update set manifests = excluded.manifests`,
      [topic, id, filter === 'all' ? null : filter.map(storable)],
    );
  };

  return {
    async declareTopic(name) {
      await client.transaction((executor) => makeTopic(executor, name));
    },
    async declareQueue(name, options) {
      const { topics = [], removeTopics = [], deadLetterQueue = null } = options;
      await client.transaction(async (executor) => {
        await executor.execute('select pg_advisory_xact_lock($1::bigint)', [lockNumber]);
        const queue = await makeQueue(executor, name, deadLetterQueue);
        if (queue.dead_letter_queue !== deadLetterQueue)
          throw new TopologyConflictError(
            `Queue "${name}" exists with the dead-letter queue ${queue.dead_letter_queue ?? '(none)'}, not ${deadLetterQueue ?? '(none)'}.`,
          );
        if (deadLetterQueue !== null) await makeQueue(executor, deadLetterQueue, null);
        for (const topic of topics) await bind(executor, name, queue, topic, options);
        await executor.execute(
          `delete from ${schema}.bindings where queue = $1 and topic = any($2::text[])`,
          [queue.id, removeTopics],
        );
      });
    },
    async describeQueue(name) {
      const [queue] = await client.query(
        `select q.dead_letter_queue,
           (select count(*) from ${schema}.messages m where m.queue = q.id and m.visible_at is null)
           + (select count(*) from ${schema}.messages m where m.queue = q.id and m.visible_at <= clock_timestamp()) as depth,
           (select count(*) from ${schema}.messages m
             where m.queue = q.id and m.visible_at > clock_timestamp() and m.ticket is not null) as in_flight,
           array(select topic from ${schema}.bindings b where b.queue = q.id order by topic) as topics,
           coalesce((select json_agg(manifests) from ${schema}.bindings b where b.queue = q.id), '[]') as filters
         from ${schema}.queues q where q.name = $1`,
        [name],
      );
      if (queue === undefined) return { exists: false, depth: 0, deadLetterQueue: undefined };
      return {
        exists: true,
        depth: Number(queue.depth),
        inFlight: Number(queue.in_flight),
        deadLetterQueue: (queue as unknown as Queue).dead_letter_queue ?? undefined,
        topics: (queue.topics as string[]).toSorted(),
        filter: describedFilter((queue.filters as unknown[]).map(filterOf)),
      };
    },
    async findQueue(name) {
      const sql = `select dead_letter_queue from ${schema}.queues where name = $1`;
      const [queue] = (await client.query(sql, [name])) as unknown as Queue[];
      return { exists: queue !== undefined, deadLetterQueue: queue?.dead_letter_queue ?? undefined };
    },
    async deleteQueue(name) {
      // Those who publish hold the row of the queue until their messages are there.
      await client.transaction(async (executor) => {
        const { rows } = await executor.execute(`delete from ${schema}.queues where name = $1 returning id`, [
          name,
        ]);
        for (const { id } of rows)
          await executor.execute(`delete from ${schema}.messages where queue = $1`, [id]);
      });
    },
    async deleteTopic(name) {
      await client.query(`delete from ${schema}.topics where name = $1`, [name]);
    },
  };
}

interface Queue {
  readonly id: number;
  readonly dead_letter_queue: string | null;
}

function filterOf(manifests: unknown): 'all' | readonly string[] {
  return Array.isArray(manifests) ? (manifests as string[]) : 'all';
}
