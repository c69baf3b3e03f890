import { rm } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { connect as connectSecurely } from 'node:tls';
import type { Broker, Handle, StartedBroker } from './broker.ts';
import { freePort, install, isInstalled, isRunning, startDetached, until } from './processes.ts';

const standardPort = Number(process.env.MELANGE_REDIS_PORT ?? 6379);
const answersWithinMs = 3_000;
/** A write to a slow disk holds up even SIGKILL. */
const goneWithinMs = 60_000;

/** Redis, without persistence: what it holds is gone when it stops. */
export const redis: Broker = {
  name: 'redis',
  variable: 'REDIS_URL',
  standardUrl: `redis://127.0.0.1:${standardPort}`,
  service: 'redis',
  readyWithinMs: 20_000,
  answers,
  start,
  isThere,
  stop,
};

async function answers(url: string): Promise<boolean> {
  if (!URL.canParse(url)) return false;
  const { protocol, hostname, port } = new URL(url);
  const address = { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || standardPort) };
  return new Promise((resolve) => {
    const secure = protocol === 'rediss:';
    const socket = secure
      ? connectSecurely({ ...address, servername: address.host })
      : createConnection(address);
    const finish = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(answersWithinMs, () => finish(false));
    socket.once('error', () => finish(false));
    socket.once('close', () => finish(false));
    socket.once(secure ? 'secureConnect' : 'connect', () => socket.write('PING\r\n'));
    // A server that wants a password answers -NOAUTH: it speaks the protocol.
    socket.once('data', (data) => finish(/^(\+PONG|-NOAUTH)/.test(data.toString('latin1'))));
  });
}

async function start(): Promise<StartedBroker> {
  if (!(await isInstalled('redis-server'))) await install('redis-server');
  const port = await freePort(standardPort);
  const options = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'];
  const pid = await startDetached('redis-server', options);
  return { url: `redis://127.0.0.1:${port}`, handle: { pid: String(pid), port: String(port) } };
}

function isThere(handle: Handle): Promise<boolean> {
  // By its port: Valkey has another name.
  return isRunning(Number(handle.pid), handle.port ?? 'redis-server');
}

async function stop(handle: Handle): Promise<void> {
  if (await isThere(handle)) {
    // Nothing of it is kept, and one that a test has paused takes no other signal.
    process.kill(Number(handle.pid), 'SIGKILL');
    await until(async () => !(await isThere(handle)), goneWithinMs, 'the end of Redis');
  }
  if (handle.directory !== undefined) await rm(handle.directory, { recursive: true, force: true });
}
