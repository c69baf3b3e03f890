import type { Logger } from '@melange/core';
import type { Cluster, ClusterNode, ClusterOptions, Redis, RedisOptions } from 'ioredis';

/** Settings of `RedisDeduplicationCache`. At most one of `url`, `redis`, `cluster` and `client` says where Redis is. */
export interface RedisDeduplicationCacheOptions {
  /** Address of a single Redis, `redis://` or `rediss://`. Default: `redis://127.0.0.1:6379`. */
  readonly url?: string;
  /** Settings of ioredis for a single Redis or, with `sentinels` and `name`, for one behind Sentinels. */
  readonly redis?: RedisOptions;
  /** A Redis Cluster: some of its nodes, and the settings of ioredis. */
  readonly cluster?: { readonly nodes: readonly ClusterNode[]; readonly options?: ClusterOptions };
  /** A client of yours, single, Sentinel or Cluster: `close()` leaves it open. It must not be in subscriber mode. */
  readonly client?: Redis | Cluster;
  /** First part of every key. Default: `melange`. */
  readonly prefix?: string;
  /**
   * Keeps groups apart that share a Redis and whose queues may be named alike, such as two environments: the same queue,
   * consumer and message in two namespaces are two keys. Without `:`, so that no two namespaces can meet. Default:
   * `default`.
   */
  readonly namespace?: string;
  /**
   * How long a done key is remembered, in ms: longer than any broker redelivers. Default: 1,296,000,000 (15 days,
   * as SQS keeps messages for 14 at most).
   */
  readonly ttlMs?: number;
  /**
   * Bound of one answer in ms, reconnecting included. While Redis has been out of reach for longer than that, calls
   * fail at once. Keep it below the dispatcher's `deduplication.timeoutMs` (5,000). Default: 2,000.
   */
  readonly timeoutMs?: number;
  /** Told when Redis becomes unusable and when it is usable again. Default: warnings and errors to standard error. */
  readonly logger?: Logger;
}
