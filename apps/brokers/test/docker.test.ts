import { chmod, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { freePort, isInstalled, run } from '../src/processes.ts';
import { brokers } from '../src/table.ts';
import { command, temporaryFolder } from './support.ts';

const canStart = await isInstalled('redis-server');
const answers = async (url: string): Promise<boolean> => (await brokers.get('redis')?.answers(url)) ?? false;

/** Notes how it was called. Its services are processes of this machine; there is an engine where `engine` is. */
const docker = `#!/bin/sh
here=$(dirname "$0")
echo "$*" >> "$here/calls"
case "$*" in
info) if [ -e "$here/engine" ]; then echo "Server Version: 27.0"; fi ;;
"compose up -d redis")
  if [ -e "$here/broken" ]; then echo "no such image" >&2; exit 1; fi
  redis-server --port "$MELANGE_REDIS_PORT" --bind 127.0.0.1 --save '' --daemonize yes \\
    --pidfile "$here/redis.pid" > /dev/null ;;
"compose ps -q --status running redis") if [ -e "$here/redis.pid" ]; then echo f00d; fi ;;
"compose rm -s -f redis")
  if [ -e "$here/redis.pid" ]; then
    kill "$(cat "$here/redis.pid")"
    while [ -e "$here/redis.pid" ]; do sleep 0.05; done
  fi ;;
*) exit 1 ;;
esac
`;

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let programs: string;
let port: number;
let env: NodeJS.ProcessEnv;

const redis = (verb: string) => command([verb, 'redis'], { folder: folder.path, env });
const has = (what: 'engine' | 'broken') => writeFile(join(programs, what), '');
const calls = async () =>
  (await readFile(join(programs, 'calls'), 'utf8').catch(() => '')).split('\n').slice(0, -1);

describe.skipIf(!canStart)('the way to a broker (skipped without redis-server)', { timeout: 120_000 }, () => {
  beforeEach(async () => {
    folder = await temporaryFolder();
    programs = join(folder.path, 'programs');
    await mkdir(programs);
    await writeFile(join(programs, 'docker'), docker);
    await chmod(join(programs, 'docker'), 0o755);
    port = await freePort();
    env = { MELANGE_REDIS_PORT: String(port), PATH: `${programs}:${process.env.PATH}` };
  });
  afterEach(async () => {
    await command(['down', 'redis'], { folder: folder.path, env });
    await folder.remove();
  });

  test('is Docker Compose where an engine answers: up, status and down, and down removes it', async () => {
    await has('engine');
    const url = `redis://127.0.0.1:${port}`;
    const up = await redis('up');
    expect(up).toEqual({
      status: 0,
      lines: ['redis: starting (docker compose)', `redis: ${url} (docker compose)`],
      errors: [],
    });
    expect(await answers(url)).toBe(true);
    const found = { status: 0, lines: [`redis: ${url} (already running, started by \`up\`)`], errors: [] };
    expect(await redis('status')).toEqual(found);
    expect(await redis('up')).toEqual(found);
    expect((await calls()).filter((call) => call.startsWith('compose up'))).toHaveLength(1);
    expect((await redis('down')).lines).toEqual(['stopped redis']);
    expect((await calls()).at(-1)).toBe('compose rm -s -f redis');
    expect(await answers(url)).toBe(false);
  });

  test('is the package where no engine answers, although its client ends well', async () => {
    const { status, lines } = await redis('up');
    expect([status, lines[0]]).toEqual([0, 'redis: starting (package)']);
    expect(await calls()).toEqual(['info']);
  });

  test('is the package where Compose fails, which leaves nothing behind', async () => {
    await has('engine');
    await has('broken');
    const { status, lines } = await redis('up');
    expect([status, ...lines]).toEqual([
      0,
      'redis: starting (docker compose)',
      'redis: starting (package)',
      `redis: redis://127.0.0.1:${port} (package)`,
    ]);
    expect(await calls()).toEqual(['info', 'compose up -d redis', 'compose rm -s -f redis']);
  });

  test('is what answers already, before Docker is asked: at the address in the environment, or where it always is', async () => {
    await has('engine');
    const pidfile = join(folder.path, 'running.pid');
    const parameters = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--daemonize', 'yes'];
    await run('redis-server', [...parameters, '--pidfile', pidfile]);
    try {
      expect((await redis('up')).lines).toEqual([`redis: redis://127.0.0.1:${port} (already running)`]);
      const url = `redis://localhost:${port}/5`;
      const given = await command(['up', 'redis'], { folder: folder.path, env: { ...env, REDIS_URL: url } });
      expect(given.lines).toEqual([`redis: ${url} (environment)`]);
      expect(await calls()).toEqual([]);
    } finally {
      process.kill(Number(await readFile(pidfile, 'utf8')));
    }
  });

  test('is said to be missing with every reason, and what to do, where none leads to it', async () => {
    await has('engine');
    await has('broken');
    // Nothing else is installed here, nor can it be.
    for (const name of ['sh', 'dirname', 'which']) {
      const { stdout } = await run('which', [name]);
      await symlink(stdout.trim(), join(programs, name));
    }
    const missing = await command(['up', 'redis'], { folder: folder.path, env: { ...env, PATH: programs } });
    expect(missing).toEqual({
      status: 1,
      lines: [
        'redis: starting (docker compose)',
        'redis: starting (package)',
        'redis: missing, docker compose: no such image; package: redis-server is not installed, and only root on ' +
          'Debian can install it from here. What to do: set REDIS_URL to a running one, or start a Docker engine, or ' +
          'install redis here',
      ],
      errors: [],
    });
  });
});

test('compose.yaml has a service for each broker, on its standard port and on this machine only', async () => {
  const file = fileURLToPath(new URL('../../../compose.yaml', import.meta.url));
  const { services } = parse(await readFile(file, 'utf8')) as {
    services: Record<string, { image: string; ports: string[] }>;
  };
  for (const { service, standardUrl } of brokers.values()) {
    const standardPort = new URL(standardUrl.replace(/^\w+:/, 'http:')).port;
    const ports = services[service]?.ports.map((port) => port.replaceAll(/\$\{\w+:-(\d+)\}/g, '$1'));
    expect(ports).toEqual([`127.0.0.1:${standardPort}:${standardPort}`]);
    // Another one would come by itself some day.
    // An environment variable names another one, for tests of versions.
    const image = services[service]?.image.replace(/^\$\{\w+:-(.*)\}$/, '$1');
    expect(image).toMatch(/^[\w./-]+:\d[\w.-]*$/);
  }
  expect(Object.keys(services).sort()).toEqual([...brokers.values()].map(({ service }) => service).sort());
});
