import { mkdtemp, rm } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Broker, Handle, StartedBroker } from './broker.ts';
import { privateRecord } from './private-record.ts';
import { freePort, install, isInstalled, isRunning, startDetached, until } from './processes.ts';
import { startAgain, untilReady } from './ready.ts';

const standardPort = 4222;
const answersWithinMs = 3_000;
const endsWithinMs = 10_000;
/** It starts and ends in a moment, and tests do that often. */
const looksEveryMs = 20;

/** NATS with JetStream, whose data is in a folder of its own. */
export const nats: Broker = {
  name: 'nats',
  variable: 'NATS_URL',
  standardUrl: `nats://127.0.0.1:${standardPort}`,
  service: 'nats',
  readyWithinMs: 20_000,
  answers,
  async start() {
    // Before a port is chosen: where the system runs services, the package starts one on the standard port, without JetStream.
    await installServer();
    return begin(await freePort(standardPort), await newFolder());
  },
  isThere,
  async stop(handle) {
    await end(handle);
    await rm(handle.directory as string, { recursive: true, force: true });
  },
};

/** A NATS for one test, which may break it. */
export interface PrivateNats {
  /** `nats://host:port` */
  readonly url: string;
  /** Ends the process and starts it again on its data; resolves when it answers. */
  restart(): Promise<void>;
  /** Ends it and deletes its data. */
  stop(): Promise<void>;
}

/** Starts a NATS with data of its own, which nobody else knows. The caller stops it. */
export async function startNats(): Promise<PrivateNats> {
  await installServer();
  const port = await freePort();
  const directory = await newFolder();
  const record = privateRecord(nats.name);
  const started = await begin(port, directory);
  let { handle } = started;
  await record.keep(handle);
  await untilReady(nats, started, looksEveryMs);
  return {
    url: started.url,
    async restart() {
      const start = async (): Promise<StartedBroker> => {
        await end(handle);
        const again = await begin(port, directory);
        handle = again.handle;
        await record.keep(handle);
        return again;
      };
      await startAgain({ ...nats, stop: end }, start, looksEveryMs);
    },
    async stop() {
      await nats.stop(handle);
      await record.remove();
    },
  };
}

/** A server greets each connection with what it can do. One without JetStream is of no use. */
function answers(url: string): Promise<boolean> {
  if (!URL.canParse(url)) return Promise.resolve(false);
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    const socket = createConnection(Number(port || standardPort), hostname.replace(/^\[|\]$/g, ''));
    let greeting = '';
    const finish = (): void => {
      socket.destroy();
      resolve(/^INFO .*"jetstream":true/.test(greeting));
    };
    socket.setTimeout(answersWithinMs, finish);
    socket.once('error', finish);
    socket.once('close', finish);
    socket.on('data', (data) => {
      greeting += data.toString('latin1');
      if (greeting.includes('\r\n')) finish();
    });
  });
}

async function installServer(): Promise<void> {
  if (!(await isInstalled('nats-server'))) await install('nats-server');
}

function newFolder(): Promise<string> {
  return mkdtemp(join(tmpdir(), 'melange-nats-'));
}

async function begin(port: number, directory: string): Promise<StartedBroker> {
  const parameters = ['--addr', '127.0.0.1', '--port', String(port), '--jetstream', '--store_dir', directory];
  const pid = await startDetached('nats-server', parameters);
  return { url: `nats://127.0.0.1:${port}`, handle: { pid: String(pid), directory } };
}

function isThere({ pid, directory }: Handle): Promise<boolean> {
  return isRunning(Number(pid), directory as string);
}

async function end(handle: Handle): Promise<void> {
  if (!(await isThere(handle))) return;
  process.kill(Number(handle.pid), 'SIGTERM');
  const isGone = async (): Promise<boolean> => !(await isThere(handle));
  await until(isGone, endsWithinMs, 'an orderly end of NATS', looksEveryMs).catch(async () => {
    process.kill(Number(handle.pid), 'SIGKILL');
    await until(isGone, endsWithinMs, 'the end of NATS', looksEveryMs);
  });
}
