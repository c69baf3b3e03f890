import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import type { Broker, Handle, StartedBroker } from './broker.ts';
import { privateRecord } from './private-record.ts';
import { freePort, install, isInstalled, isRunning, run, startDetached, until } from './processes.ts';
import { startAgain, untilReady } from './ready.ts';

const standardPort = 5432;
const answersWithinMs = 3_000;
const endsWithinMs = 30_000;
const looksEveryMs = 50;

/** Postgres, with data of its own. Everybody on this machine is its superuser `postgres`. */
export const postgres: Broker = {
  name: 'postgres',
  variable: 'POSTGRES_URL',
  standardUrl: `postgres://postgres:postgres@127.0.0.1:${standardPort}/postgres`,
  service: 'postgres',
  readyWithinMs: 60_000,
  answers,
  async start() {
    const directory = await newCluster();
    return begin(await freePort(standardPort), directory);
  },
  isThere,
  async stop(handle) {
    await end(handle, 'SIGINT');
    await rm(handle.directory as string, { recursive: true, force: true });
  },
};

/** How to start a Postgres for one test. */
export interface StartPostgresOptions {
  /** Settings of `postgresql.conf`. Default: none. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** A Postgres for one test, which may break it. */
export interface PrivatePostgres {
  /** `postgres://postgres@host:port/postgres` */
  readonly url: string;
  /** Ends the server and starts it again on its data; resolves when it answers. */
  restart(): Promise<void>;
  /** Ends it: in order and its connections at once, or, with SIGQUIT, as if it had crashed. */
  end(signal?: 'SIGINT' | 'SIGQUIT'): Promise<void>;
  /** Ends it and deletes its data. */
  stop(): Promise<void>;
}

/** Starts a Postgres with data of its own, which nobody else knows. The caller stops it. */
export async function startPostgres({ settings = {} }: StartPostgresOptions = {}): Promise<PrivatePostgres> {
  const port = await freePort();
  const directory = await newCluster();
  const record = privateRecord(postgres.name);
  const started = await begin(port, directory, settings);
  let { handle } = started;
  await record.keep(handle);
  await untilReady(postgres, started, looksEveryMs);
  return {
    url: started.url,
    async restart() {
      const start = async (): Promise<StartedBroker> => {
        await end(handle, 'SIGINT');
        const again = await begin(port, directory, settings);
        handle = again.handle;
        await record.keep(handle);
        return again;
      };
      await startAgain({ ...postgres, stop: (one) => end(one, 'SIGINT') }, start, looksEveryMs);
    },
    end: (signal = 'SIGINT') => end(handle, signal),
    async stop() {
      await postgres.stop(handle);
      await record.remove();
    },
  };
}

/** Whether a user of that name and password is let in: another Postgres on the standard port is of no use. */
async function answers(url: string): Promise<boolean> {
  if (!URL.canParse(url)) return false;
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: answersWithinMs });
  client.on('error', () => undefined);
  try {
    await client.connect();
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** Where Debian's package has its programs, of the newest version that is there. */
async function programs(): Promise<string> {
  const root = '/usr/lib/postgresql';
  const find = async (): Promise<string | undefined> => {
    const versions = existsSync(root) ? await readdir(root) : [];
    return versions
      .filter((version) => existsSync(join(root, version, 'bin', 'initdb')))
      .sort((one, other) => Number(other) - Number(one))[0];
  };
  if ((await find()) === undefined && !(await isInstalled('initdb'))) await install('postgresql');
  const version = await find();
  return version === undefined ? '' : join(root, version, 'bin/');
}

/** The server refuses root. */
function asServer(program: string, parameters: readonly string[]): [string, readonly string[]] {
  if (process.getuid?.() !== 0) return [program, parameters];
  return ['setpriv', ['--reuid=postgres', '--regid=postgres', '--clear-groups', program, ...parameters]];
}

/** A folder with the data of a new server. */
async function newCluster(): Promise<string> {
  const folder = await programs();
  const directory = await mkdtemp(join(tmpdir(), 'melange-postgres-'));
  if (process.getuid?.() === 0) await run('chown', ['postgres:postgres', directory]);
  const choices = ['--username=postgres', '--auth=trust', '--encoding=UTF8', '--locale=C', '--no-sync'];
  await run(...asServer(`${folder}initdb`, ['-D', directory, ...choices]), { cwd: tmpdir() });
  return directory;
}

async function begin(
  port: number,
  directory: string,
  settings: Readonly<Record<string, string>> = {},
): Promise<StartedBroker> {
  const all = {
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: directory,
    max_connections: '300',
    // Data survive its end, and a crash, but not that of the machine: tests need no more.
    fsync: 'off',
    ...settings,
  };
  const choices = Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const [program, parameters] = asServer(`${await programs()}postgres`, ['-D', directory, ...choices]);
  const pid = await startDetached(program, parameters);
  return { url: `postgres://postgres@127.0.0.1:${port}/postgres`, handle: { pid: String(pid), directory } };
}

function isThere({ pid, directory }: Handle): Promise<boolean> {
  return isRunning(Number(pid), directory as string);
}

async function end(handle: Handle, signal: 'SIGINT' | 'SIGQUIT'): Promise<void> {
  if (!(await isThere(handle))) return;
  process.kill(Number(handle.pid), signal);
  const isGone = async (): Promise<boolean> => !(await isThere(handle));
  await until(isGone, endsWithinMs, 'an orderly end of Postgres', looksEveryMs).catch(async () => {
    // Its children notice, and end too.
    process.kill(Number(handle.pid), 'SIGKILL');
    await until(isGone, endsWithinMs, 'the end of Postgres', looksEveryMs);
  });
}
