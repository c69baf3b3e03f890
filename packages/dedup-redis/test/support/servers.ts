import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { promisify } from 'node:util';
import { type PrivateRedis, type StartRedisOptions, startRedis } from '@melange/brokers';
import type { Logger } from '@melange/core';
import { onTestFinished } from 'vitest';
import { RedisDeduplicationCache, type RedisDeduplicationCacheOptions } from '../../src/index.ts';

const execute = promisify(execFile);

/** Whether Redis is installed here: these tests break servers, so that a shared one does not do. */
export const isRedisHere: boolean = await execute('which', ['redis-server']).then(
  () => true,
  () => false,
);

/** A server of the test's own, stopped after it. */
export async function privateRedis(options?: StartRedisOptions): Promise<PrivateRedis> {
  const server = await startRedis(options);
  onTestFinished(() => server.stop());
  return server;
}

/** Runs a command of Redis, through its own command line. */
export async function command({ port }: { port: number }, ...parameters: string[]): Promise<string> {
  const { stdout } = await execute('redis-cli', ['-p', String(port), ...parameters]);
  return stdout.trim();
}

/** What a logger was told. */
export interface LogLine {
  readonly level: keyof Logger;
  readonly message: string;
  readonly facts: Readonly<Record<string, unknown>> | undefined;
}

export function recordingLogger(lines: LogLine[]): Logger {
  const at =
    (level: keyof Logger) =>
    (message: string, facts?: Readonly<Record<string, unknown>>): void => {
      lines.push({ level, message, facts });
    };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

/** A cache with keys of its own, closed after the test, and what it logs. */
export function openCache(options: RedisDeduplicationCacheOptions): {
  cache: RedisDeduplicationCache;
  namespace: string;
  log: LogLine[];
} {
  const log: LogLine[] = [];
  const namespace = options.namespace ?? randomUUID();
  const cache = new RedisDeduplicationCache({ logger: recordingLogger(log), ...options, namespace });
  onTestFinished(() => cache.close());
  return { cache, namespace, log };
}
