import { type Logger, MelangeError } from '@melange/core';
import { checkWholeNumber } from '@melange/core/adapter';
import type { RedisOptions } from 'ioredis';

/** Settings of `RedisStreamsBackend`. */
export interface RedisStreamsBackendOptions {
  /** Address of Redis, `redis://` or `rediss://`. Default: `redis://127.0.0.1:6379`. */
  readonly url?: string;
  /**
   * Settings of ioredis: TLS, or `sentinels` and `name`, or host and port in place of `url`, which counts where both are
   * given. What concerns queueing and repeating commands is ours.
   */
  readonly redis?: RedisOptions;
  /** First part of every key, in braces. Default: `melange`. */
  readonly prefix?: string;
  /** Longest wait for a connection, in ms; past it `BrokerUnavailableError`. Default: 5,000. */
  readonly connectTimeoutMs?: number;
  /** A connection that owes an answer for so many ms is replaced. Default: 10,000. */
  readonly requestTimeoutMs?: number;
  /** Longest wait for the confirmation of a publish, reconnects included, in ms; past it `PublishError`. Default: 30,000. */
  readonly publishTimeoutMs?: number;
  /**
   * A delivery that is not renewed for so many ms is taken over by another subscription; it is renewed three times as
   * often while it is unsettled. After a crash its messages wait that long. Default: 30,000.
   */
  readonly leaseMs?: number;
  /** How often a waiting subscription looks for itself, in ms, should a wake-up be lost. Default: 1,000. */
  readonly pollMs?: number;
  /** Told when Redis is lost and when it is back. Default: warnings and errors to standard error. */
  readonly logger?: Logger;
}

/** Longest timer of Node's, in ms; a longer one fires at once. */
export const maxTimerMs = 2_147_483_647;

/** Settings with their defaults. */
export type RedisStreamsSettings = Required<Omit<RedisStreamsBackendOptions, 'logger' | 'redis' | 'url'>>;

/** @throws MelangeError `CONFIGURATION` when a value makes no sense. */
export function settingsOf(options: RedisStreamsBackendOptions): RedisStreamsSettings {
  const settings: RedisStreamsSettings = {
    prefix: options.prefix ?? 'melange',
    connectTimeoutMs: options.connectTimeoutMs ?? 5_000,
    requestTimeoutMs: options.requestTimeoutMs ?? 10_000,
    publishTimeoutMs: options.publishTimeoutMs ?? 30_000,
    leaseMs: options.leaseMs ?? 30_000,
    pollMs: options.pollMs ?? 1_000,
  };
  const { prefix, ...times } = settings;
  for (const [name, value] of Object.entries(times)) {
    if (checkWholeNumber(name, value, 1) > maxTimerMs)
      throw new MelangeError('CONFIGURATION', `${name} must be at most ${maxTimerMs} ms, not ${value}.`);
  }
  if (/[{}]/.test(prefix)) throw new MelangeError('CONFIGURATION', 'prefix must have no braces.');
  return settings;
}
