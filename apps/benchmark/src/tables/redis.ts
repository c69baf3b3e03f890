import { redisStage } from '../stages/redis.ts';
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
