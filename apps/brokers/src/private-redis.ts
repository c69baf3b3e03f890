import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { StartedBroker } from './broker.ts';
import { privateRecord } from './private-record.ts';
import { freePort, install, isInstalled, isRunning, run, startDetached, until } from './processes.ts';
import { startAgain, untilReady } from './ready.ts';
import { redis } from './redis.ts';

/** A write to a slow disk holds up even SIGKILL. */
const goneWithinMs = 60_000;
/** It starts and ends in a moment, and tests do that often. */
const looksEveryMs = 20;

/** How to start a Redis for one test. */
export interface StartRedisOptions {
  /** Where it listens on 127.0.0.1; without it, a free port. */
  readonly port?: number;
  /** Settings by their names in `redis.conf`: `{ maxmemory: '8mb' }`. Without them, nothing is persisted. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Runs it as a Sentinel. Default: false. */
  readonly sentinel?: boolean;
}

/** A Redis for one test, which may break it. */
export interface PrivateRedis {
  readonly url: string;
  readonly port: number;
  /** Stops answering, as when its machine hangs: connections stay open. */
  pause(): void;
  /** Answers again, what came meanwhile included. */
  resume(): void;
  /** Ends it by a signal; its data stays. Default: `SIGTERM`, which saves first where something is persisted. */
  end(signal?: 'SIGTERM' | 'SIGKILL'): Promise<void>;
  /** Starts it again with its data; resolves when it answers. */
  start(): Promise<void>;
  /** Ends it and deletes its data. */
  stop(): Promise<void>;
}

/** Starts a Redis with data of its own, which nobody else knows. The caller stops it. */
export async function startRedis(options: StartRedisOptions = {}): Promise<PrivateRedis> {
  if (!(await isInstalled('redis-server'))) await install('redis-server');
  const port = options.port ?? (await freePort());
  const url = `redis://127.0.0.1:${port}`;
  const directory = await mkdtemp(join(tmpdir(), 'melange-redis-'));
  const settings: Record<string, string> = { save: '', appendonly: 'no', ...options.settings };
  // Redis's own choice, 10,000 above its port, is among those that systems give to connections: it may be taken.
  if (settings['cluster-enabled'] === 'yes') settings['cluster-port'] ??= String(await freePort());
  const fixed = ['--port', String(port), '--bind', '127.0.0.1', '--dir', directory];
  const record = privateRecord(redis.name);
  let pid = 0;

  const isThere = (): Promise<boolean> => isRunning(pid, String(port));
  const spawn = async (): Promise<StartedBroker> => {
    // A Sentinel rewrites its configuration, and starts only with a file to write.
    const file = join(directory, 'redis.conf');
    await run('touch', [file]);
    const given = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
    const mode = options.sentinel === true ? ['--sentinel'] : given;
    pid = await startDetached('redis-server', [file, ...fixed, ...mode]);
    await record.keep({ pid: String(pid), directory });
    return { url, handle: {} };
  };
  const end = async (signal: NodeJS.Signals = 'SIGTERM'): Promise<void> => {
    if (!(await isThere())) return;
    process.kill(pid, signal);
    // One that was paused takes no other signal than the last one.
    process.kill(pid, 'SIGCONT');
    await until(async () => !(await isThere()), goneWithinMs, 'the end of Redis', looksEveryMs);
  };
  const stop = async (): Promise<void> => {
    await end('SIGKILL');
    await rm(directory, { recursive: true, force: true });
    await record.remove();
  };
  await untilReady({ ...redis, isThere, stop }, await spawn(), looksEveryMs);
  return {
    url,
    port,
    pause: () => void process.kill(pid, 'SIGSTOP'),
    resume: () => void process.kill(pid, 'SIGCONT'),
    end,
    start: () => startAgain({ ...redis, isThere, stop: () => end('SIGKILL') }, spawn, looksEveryMs),
    stop,
  };
}
