import { PostgresBackend } from '@melange/backend-postgres';
import { QueuePublisher } from '@melange/core';
import { openPostgres } from '@melange/postgres';
import { serializersOfOrders } from '../melange.ts';
import { OrderPlaced } from '../order.ts';
import { bossSchema, graphileSchema, startBoss, startGraphile } from '../postgres-libraries.ts';
import { melangeSchema } from '../postgres-schema.ts';
import type { Stage } from '../table.ts';
import { fill, settled } from './fill.ts';

const publishedAtOnce = 1_000;

/** @param isEmpty whether it is the contestant that publishes. */
export async function postgresStage(address: string, isEmpty: boolean): Promise<Stage> {
  const connection = openPostgres({ url: address });
  const backend = new PostgresBackend({ url: address, schema: melangeSchema });
  const publisher = new QueuePublisher({ backend, serializers: serializersOfOrders() });
  const boss = await startBoss(address);
  const graphile = await startGraphile(address);
  const left: Readonly<Record<string, string>> = {
    pgboss: `select count(*)::integer as n from ${bossSchema}.job where name = $1 and state < 'completed'`,
    graphile: `select count(*)::integer as n from ${graphileSchema}.jobs where task_identifier = $1`,
    melange: `select count(*)::integer as n from ${melangeSchema}.messages m join ${melangeSchema}.queues q on q.id = m.queue where q.name = $1`,
  };
  const libraryOf = (file: string): string => file.split('-').at(-1) ?? '';
  return {
    async before({ file }, { queue, warmUp, messages }) {
      const library = libraryOf(file);
      if (library === 'pgboss') await boss.createQueue(queue);
      if (library === 'melange') await backend.declareQueue(queue);
      if (isEmpty) return;
      await fill(warmUp + messages, publishedAtOnce, async (indexes) => {
        const orders = indexes.map((index) => new OrderPlaced(index));
        if (library === 'pgboss') await boss.insert(orders.map((data) => ({ name: queue, data })));
        else if (library === 'graphile')
          await connection.execute(
            `select count(${graphileSchema}.add_job($1, payload)) from json_array_elements($2::json) as payload`,
            [queue, JSON.stringify(orders)],
          );
        else
          await publisher.publishBatch(
            queue,
            orders.map((value) => ({ value })),
          );
      });
      // What it had to do before is no part of the measurement, and each finds tables of its own as they are when they are in use.
      await connection.execute('vacuum analyze', []);
    },
    async after({ file, name }, { queue, warmUp, messages }) {
      const expected = isEmpty ? warmUp + messages : 0;
      const depth = async (): Promise<number> => {
        const { rows } = await connection.execute(left[libraryOf(file)] as string, [queue]);
        return rows[0]?.n as number;
      };
      const found = await settled(depth, (count) => count === expected);
      if (libraryOf(file) === 'pgboss') await connection.execute(`delete from ${bossSchema}.job`, []);
      else if (libraryOf(file) === 'melange') await backend.deleteQueue(queue);
      else await connection.execute(`delete from ${graphileSchema}._private_jobs`, []);
      if (found !== expected)
        throw new Error(`${name}: ${found} messages in the queue at the end, not ${expected}`);
    },
    async close() {
      await backend.close();
      await boss.stop({ graceful: false });
      await graphile.release();
      await connection.execute(
        `drop schema if exists ${melangeSchema} cascade; drop schema if exists ${bossSchema} cascade; drop schema if exists ${graphileSchema} cascade`,
        [],
      );
      await connection.close();
    },
  };
}
