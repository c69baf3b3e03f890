import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, rm, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, describe, expect, onTestFinished, test } from 'vitest';
import type { AvailableBroker } from '../src/index.ts';
import { ownFile } from '../src/own-file.ts';
import { freePort, isInstalled } from '../src/processes.ts';
import { brokers } from '../src/table.ts';
import { command, environment, temporaryFolder } from './support.ts';

const killedProgram = fileURLToPath(new URL('killed.ts', import.meta.url));
const program = fileURLToPath(new URL('user.ts', import.meta.url));
const canStart = await isInstalled('redis-server');
const answers = async (url: string): Promise<boolean> => (await brokers.get('redis')?.answers(url)) ?? false;

const folder = await temporaryFolder();
const options = { folder: folder.path, env: { MELANGE_REDIS_PORT: String(await freePort()) } };
const running = new Set<ChildProcess>();
afterEach(async () => {
  for (const child of running) child.kill('SIGKILL');
  await command(['down', 'redis'], options);
});
afterAll(() => folder.remove());

interface User {
  readonly url: string;
  /** Says that it needs Redis no longer, and ends. */
  end(): Promise<void>;
  kill(): Promise<void>;
}

async function user(): Promise<User> {
  const child = fork(program, { execArgv: ['--import', 'tsx'], env: environment(options) });
  running.add(child);
  const exited = once(child, 'exit').then(() => void running.delete(child));
  const [result] = (await once(child, 'message')) as [AvailableBroker];
  return {
    url: result.url,
    async end() {
      child.send('end');
      await exited;
    },
    async kill() {
      child.kill('SIGKILL');
      await exited;
    },
  };
}

test.skipIf(!canStart)(
  'a broker of a process that was killed is stopped by down, and by what begins next (skipped without redis-server)',
  { timeout: 120_000 },
  async () => {
    const own = await temporaryFolder();
    onTestFinished(() => own.remove());
    const down = async () => (await command(['down'], { folder: own.path })).lines;
    const killed = async (): Promise<string> => {
      const env = environment({ folder: own.path });
      const child = fork(killedProgram, { execArgv: ['--import', 'tsx'], env });
      onTestFinished(() => void child.kill('SIGKILL'));
      const [url] = (await once(child, 'message')) as [string];
      // As long as its process lives, it is nobody else's.
      expect(await down()).toEqual(['nothing to stop: `up` started none of them']);
      expect(await answers(url)).toBe(true);
      child.kill('SIGKILL');
      await once(child, 'exit');
      return url;
    };
    const first = await killed();
    expect(await down()).toEqual(['stopped redis of a run that was killed']);
    expect(await answers(first)).toBe(false);
    const second = await killed();
    await command(['up', 'sqs'], { folder: own.path, env: { SQS_URL: 'http://127.0.0.1:1' } });
    expect(await answers(second)).toBe(false);
    expect((await readdir(own.path)).filter((name) => name.startsWith('melange-'))).toEqual([]);
  },
);

describe.skipIf(!canStart)(
  'a broker that several processes use (skipped without redis-server)',
  { timeout: 120_000 },
  () => {
    test('is one, also when they begin together, and stops with the last of them', async () => {
      const [first, second] = await Promise.all([user(), user()]);
      expect(first.url).toBe(second.url);
      await first.end();
      expect(await answers(second.url)).toBe(true);
      await second.end();
      expect(await answers(second.url)).toBe(false);
    });

    test('is not kept by one that was killed', async () => {
      const killed = await user();
      const last = await user();
      await killed.kill();
      expect(await answers(last.url)).toBe(true);
      await last.end();
      expect(await answers(last.url)).toBe(false);
    });

    test('stays when `up` asked for it, before or meanwhile', async () => {
      const first = await user();
      await command(['up', 'redis'], options);
      await first.end();
      expect(await answers(first.url)).toBe(true);
      const second = await user();
      await second.end();
      expect(await answers(second.url)).toBe(true);
      expect((await command(['down', 'redis'], options)).lines).toEqual(['stopped redis']);
      expect(await answers(second.url)).toBe(false);
    });

    test('is had although one died while it was bringing brokers up', async () => {
      const gone = spawn(process.execPath, ['-e', '']);
      await once(gone, 'exit');
      await writeFile(ownFile('lock', folder.path), String(gone.pid));
      const alive = await user();
      expect(await answers(alive.url)).toBe(true);
      await alive.end();
    });

    test('is waited for while another one brings brokers up, and that one is named', async () => {
      const lock = ownFile('lock', folder.path);
      await writeFile(lock, String(process.pid));
      const waits = `waiting for process ${process.pid}, which starts or stops brokers`;
      const { status, lines } = await command(['up', 'redis'], {
        ...options,
        heard: (text) => text.includes(waits) && rm(lock),
      });
      expect(lines[0]).toContain(waits);
      expect(status).toBe(0);
    });
  },
);
