import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest';
import { ownFile } from '../src/own-file.ts';
import { freePort, isInstalled, isRunning, until } from '../src/processes.ts';
import { brokers } from '../src/table.ts';
import { command, speaker, temporaryFolder } from './support.ts';

// The test run itself may have a Redis on the usual one.
const standardPort = await freePort();
const canStart = await isInstalled('redis-server');
const answers = async (url: string): Promise<boolean> => (await brokers.get('redis')?.answers(url)) ?? false;

const folder = await temporaryFolder();
const record = ownFile('json', folder.path);
const env = { MELANGE_REDIS_PORT: String(standardPort) };
const redis = (verb: string, options: Omit<Parameters<typeof command>[1], 'folder'> = {}) =>
  command([verb, 'redis'], { folder: folder.path, ...options, env: { ...env, ...options.env } });
afterEach(async () => {
  await redis('down');
});
afterAll(() => folder.remove());

/** The address in a line that says where a Redis listens. */
function addressIn(line: string | undefined): string {
  const address = /redis:\/\/127\.0\.0\.1:\d+/.exec(line ?? '')?.[0];
  if (address === undefined) throw new Error(`no address in: ${line}`);
  return address;
}

/** The process that `up` recorded for `down`. */
async function recordedProcess(): Promise<number> {
  const { redis } = JSON.parse(await readFile(record, 'utf8'));
  return Number(redis.handle.pid);
}

/** A path on which `redis-server` is this program. */
async function insteadOfRedis(program: string): Promise<string> {
  const programs = await mkdtemp(join(folder.path, 'programs-'));
  await writeFile(join(programs, 'redis-server'), `#!${process.execPath}\n${program}\n`, { mode: 0o755 });
  return `${programs}:${process.env.PATH}`;
}

describe.skipIf(!canStart)('up and down (skipped without redis-server)', { timeout: 120_000 }, () => {
  test('up starts it once, status finds it, and down ends it', async () => {
    const up = await redis('up');
    expect(up).toMatchObject({ status: 0, errors: [] });
    const url = addressIn(up.lines.at(-1));
    expect(url).toBe(`redis://127.0.0.1:${standardPort}`);
    expect(await answers(url)).toBe(true);

    const found = { status: 0, lines: [`redis: ${url} (already running, started by \`up\`)`], errors: [] };
    expect(await redis('up')).toEqual(found);
    expect(await redis('status')).toEqual(found);

    expect(await redis('down')).toEqual({ status: 0, lines: ['stopped redis'], errors: [] });
    expect(await answers(url)).toBe(false);
  });

  test('up listens elsewhere when the standard port belongs to something else', async () => {
    const other = await speaker(standardPort);
    try {
      const up = await redis('up');
      const url = addressIn(up.lines.at(-1));
      expect(up.status).toBe(0);
      expect(url).not.toBe(`redis://127.0.0.1:${standardPort}`);
      expect(await answers(url)).toBe(true);
    } finally {
      await other.close();
    }
  });

  test('down leaves alone what up only found', async () => {
    const server = spawn(
      'redis-server',
      ['--port', String(standardPort), '--bind', '127.0.0.1', '--save', ''],
      {
        stdio: 'ignore',
      },
    );
    const ended = once(server, 'exit');
    const url = `redis://127.0.0.1:${standardPort}`;
    try {
      await until(() => answers(url), 10_000, 'an answer of Redis');
      expect((await redis('up')).lines).toEqual([`redis: ${url} (already running)`]);
      expect((await redis('down')).lines).toEqual(['nothing to stop: `up` started none of them']);
      expect(await answers(url)).toBe(true);
    } finally {
      server.kill();
      await ended;
    }
  });

  test('up starts another one when the one that it had started is gone', async () => {
    const first = await redis('up');
    const url = addressIn(first.lines.at(-1));
    process.kill(await recordedProcess());
    await until(async () => !(await answers(url)), 10_000, 'the end of Redis');
    const second = await redis('up');
    expect(second.status).toBe(0);
    expect(await answers(addressIn(second.lines.at(-1)))).toBe(true);
  });

  test('up waits for the one that it had started when that does not answer for a while', async () => {
    const first = await redis('up');
    const paused = await recordedProcess();
    process.kill(paused, 'SIGSTOP');
    const waits = 'redis: the one that `up` started does not answer, waiting for it';
    try {
      const second = await redis('up', {
        heard: (text) => text.includes(waits) && process.kill(paused, 'SIGCONT'),
      });
      expect(second.lines).toContain(waits);
      expect(second.lines.at(-1)).toBe(
        `redis: ${addressIn(first.lines.at(-1))} (already running, started by \`up\`)`,
      );
      expect(await recordedProcess()).toBe(paused);
    } finally {
      process.kill(paused, 'SIGCONT');
    }
  });

  test('down ends what an up had started that was killed before it answered', async () => {
    const PATH = await insteadOfRedis('setInterval(() => {}, 1_000);');
    const interrupt = new AbortController();
    const up = redis('up', { env: { PATH }, signal: interrupt.signal });
    const started = await vi.waitFor(recordedProcess, { timeout: 60_000, interval: 50 });
    interrupt.abort();
    await up;
    expect(await isRunning(started, 'redis-server')).toBe(true);
    expect((await redis('down')).lines).toEqual(['stopped redis']);
    expect(await isRunning(started, 'redis-server')).toBe(false);
  });

  test('up does not wait for what ended as soon as it was started, and forgets it', async () => {
    const { status, lines } = await redis('up', { env: { PATH: await insteadOfRedis('process.exit(1);') } });
    expect(status).toBe(1);
    expect(lines.at(-1)).toContain('package: redis ended as soon as it was started');
    expect((await redis('down')).lines).toEqual(['nothing to stop: `up` started none of them']);
  });

  test('down ends no process that has only inherited the number of one of ours', async () => {
    await redis('up');
    process.kill(await recordedProcess());
    const stranger = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
    const recorded = { redis: { url: 'redis://127.0.0.1:1', handle: { pid: String(stranger.pid) } } };
    await writeFile(record, JSON.stringify(recorded));
    try {
      expect((await redis('down')).lines).toEqual(['stopped redis']);
      expect(stranger.exitCode ?? stranger.signalCode).toBeNull();
    } finally {
      stranger.kill();
    }
  });
});
