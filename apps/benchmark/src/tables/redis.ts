import { redisStage } from '../stages/redis.ts';
import { redisStreamsStage } from '../stages/redis-streams.ts';
import type { Table } from '../table.ts';

export const redisClaims: Table = {
  name: 'redis-claims',
  title: 'Redis: claims',
  about:
    'A claim of a key for ten minutes. ioredis: `SET NX PX`, one after the other, or 100 in flight. Melange: `RedisDeduplicationCache.claim`, 100 in flight, all default.',
  broker: 'redis',
  messages: 50_000,
  warmUp: 5_000,
  inFlight: 100,
  contenders: [
    { name: 'ioredis, sequential', file: 'redis-claims-naive' },
    { name: 'ioredis, autopipelined', file: 'redis-claims-pipelined' },
    { name: 'Melange', file: 'redis-claims-melange' },
  ],
  goals: [{ contender: 'Melange', figure: 'rate', bound: 'at least', value: 10 }],
  libraries: ['ioredis'],
  stage: redisStage,
};

/** Settings of both tables of Redis Streams. V8 needs 50,000 messages to compile all code that is measured: the warm-up. */
const streams = {
  broker: 'redis',
  messages: 100_000,
  warmUp: 50_000,
  inFlight: 100,
  libraries: ['ioredis', 'bullmq'],
} as const;

export const redisPublish: Table = {
  ...streams,
  name: 'redis-publish',
  title: 'Redis Streams: publishing',
  about:
    'Typed JSON of 200 bytes, 100 publishes in flight. ioredis: `XADD` of the bare JSON, each call by itself, or 100 in a pipeline by hand. BullMQ: `Queue.add`. Melange: `QueuePublisher.publish`, all default.',
  contenders: [
    { name: 'ioredis, XADD', file: 'redis-publish-naive' },
    { name: 'ioredis, pipelined by hand', file: 'redis-publish-pipelined' },
    { name: 'BullMQ', file: 'redis-publish-bullmq', messages: 50_000 },
    { name: 'Melange', file: 'redis-publish-melange' },
  ],
  goals: [{ contender: 'Melange', figure: 'rate', bound: 'at least', value: 0.95 }],
  stage: (address) => redisStreamsStage(address),
};

export const redisConsume: Table = {
  ...streams,
  name: 'redis-consume',
  title: 'Redis Streams: consuming',
  about:
    'Typed JSON of 200 bytes, 100 in flight, an asynchronous handler. ioredis: `XREADGROUP` of 100 and an `XACK` for each, or one `XACK` and one `XDEL` for all of them by hand. BullMQ: a `Worker` that removes the jobs that are done. Melange: `MessageDispatcher`, all default; acknowledged messages are deleted.',
  contenders: [
    { name: 'ioredis, XREADGROUP and XACK', file: 'redis-consume-naive' },
    { name: 'ioredis, pipelined by hand', file: 'redis-consume-pipelined' },
    { name: 'BullMQ', file: 'redis-consume-bullmq', messages: 50_000 },
    { name: 'Melange', file: 'redis-consume-melange' },
  ],
  goals: [{ contender: 'Melange', figure: 'rate', bound: 'at least', value: 0.9 }],
  stage: (address) => redisStreamsStage(address, true),
};
