import type { Table } from '../table.ts';
import { dispatcher } from './dispatcher.ts';
import { growthTables } from './growth.ts';
import { kafkaConsume, kafkaSlowHandler } from './kafka.ts';
import { memory } from './memory.ts';
import { observed } from './observed.ts';
import { postgresConsume, postgresPublish } from './postgres.ts';
import { rabbitMqConsume, rabbitMqPublish } from './rabbitmq.ts';
import { redisClaims, redisConsume, redisPublish } from './redis.ts';
import { sqsPublish, sqsReceive } from './sqs.ts';

/** Every table, in the order in which they are run. */
export const tables: readonly Table[] = [
  rabbitMqConsume,
  rabbitMqPublish,
  memory,
  sqsPublish,
  sqsReceive,
  kafkaConsume,
  kafkaSlowHandler,
  redisPublish,
  redisConsume,
  redisClaims,
  postgresPublish,
  postgresConsume,
  dispatcher,
  observed,
  ...growthTables,
];
