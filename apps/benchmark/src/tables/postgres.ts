import { postgresStage } from '../stages/postgres.ts';
import type { Table } from '../table.ts';

const libraries = ['pg', 'pg-boss', 'graphile-worker'];

export const postgresPublish: Table = {
  name: 'postgres-publish',
  title: 'Postgres: publish',
  about:
    'Single publishes, 100 in flight, each waited for until it is committed, over at most 10 connections: `send` of pg-boss, `addJob` of graphile-worker, `QueuePublisher.publish` of Melange. pg-boss 10 and graphile-worker 0.16 are the newest that run on Node 20.',
  broker: 'postgres',
  messages: 10_000,
  warmUp: 1_000,
  inFlight: 100,
  contenders: [
    { name: 'pg-boss', file: 'postgres-publish-pgboss' },
    { name: 'graphile-worker', file: 'postgres-publish-graphile' },
    { name: 'Melange', file: 'postgres-publish-melange' },
  ],
  goals: [{ contender: 'Melange', figure: 'rate', bound: 'at least', value: 1.5 }],
  libraries,
  stage: (address) => postgresStage(address, true),
};

export const postgresConsume: Table = {
  name: 'postgres-consume',
  title: 'Postgres: consume and acknowledge',
  about:
    'Messages that wait in a queue, 100 in flight, over at most 10 connections. pg-boss: `fetch` of 100 jobs and `complete` of them all, without a pause, which is faster than its `work`. graphile-worker: `run` with `concurrency: 100`. Melange: `concurrency: 100`, all else default. pg-boss 10 and graphile-worker 0.16 are the newest that run on Node 20.',
  broker: 'postgres',
  messages: 10_000,
  warmUp: 1_000,
  inFlight: 100,
  contenders: [
    { name: 'pg-boss', file: 'postgres-consume-pgboss' },
    { name: 'graphile-worker', file: 'postgres-consume-graphile' },
    { name: 'Melange', file: 'postgres-consume-melange' },
  ],
  goals: [{ contender: 'Melange', figure: 'rate', bound: 'at least', value: 1.5 }],
  libraries,
  stage: (address) => postgresStage(address, false),
};
