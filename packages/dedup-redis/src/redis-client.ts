import { MelangeError } from '@melange/core';
import { Cluster, Redis, type RedisOptions } from 'ioredis';
import type { RedisDeduplicationCacheOptions } from './redis-deduplication-cache-options.ts';

/** A client, and whether it is ours to close. */
export interface OpenedClient {
  readonly client: Redis | Cluster;
  readonly isOwn: boolean;
}

const longestReconnectDelayMs = 1_000;

/** Gives the client of the application, or makes one that never queues a command while it is not connected. */
export function openClient(options: RedisDeduplicationCacheOptions, timeoutMs: number): OpenedClient {
  const { url, redis, cluster, client } = options;
  const given = [url, redis, cluster, client].filter((one) => one !== undefined);
  if (given.length > 1) {
    throw new MelangeError('CONFIGURATION', 'Give one of url, redis, cluster and client, not several.');
  }
  if (client !== undefined) return { client, isOwn: false };
  if (cluster !== undefined) {
    const { redisOptions, ...rest } = cluster.options ?? {};
    return {
      isOwn: true,
      client: new Cluster([...cluster.nodes], {
        clusterRetryStrategy: reconnectDelayMs,
        ...rest,
        enableOfflineQueue: false,
        redisOptions: { ...bounds(timeoutMs), ...redisOptions, replyMapping: 'legacy' },
      }),
    };
  }
  const settings = { ...bounds(timeoutMs), retryStrategy: reconnectDelayMs, ...redis, ...never };
  return { isOwn: true, client: url === undefined ? new Redis(settings) : new Redis(url, settings) };
}

/**
 * A command that waits in ioredis outlives its deadline and is run when nobody wants it any more, and its own limit
 * counts connections, not time: commands wait with us instead.
 */
const never = {
  enableOfflineQueue: false,
  maxRetriesPerRequest: 0,
  replyMapping: 'legacy',
} as const satisfies RedisOptions;

/** A connection that says nothing for two deadlines is replaced: half-open ones are never noticed otherwise. */
function bounds(timeoutMs: number): Pick<RedisOptions, 'connectTimeout' | 'socketTimeout'> {
  return { connectTimeout: timeoutMs, socketTimeout: timeoutMs * 2 };
}

function reconnectDelayMs(times: number): number {
  return Math.min(times * 50, longestReconnectDelayMs);
}
