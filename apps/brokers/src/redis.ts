import { createConnection } from 'node:net';
import type { Broker, StartedBroker } from './broker.ts';
import { install, isInstalled, startDetached, until } from './processes.ts';

const readyWithinMs = 20_000;

/** Redis, without persistence: what it holds is gone when it stops. */
export const redis: Broker = {
  name: 'redis',
  variable: 'REDIS_URL',
  standardUrl: 'redis://127.0.0.1:6379',
  service: 'redis',
  answers,
  start,
  stop: async (handle) => void process.kill(Number(handle.pid)),
};

function answers(url: string): Promise<boolean> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    const socket = createConnection({ host: hostname, port: Number(port || 6379) });
    const finish = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(3_000, () => finish(false));
    socket.once('error', () => finish(false));
    socket.once('connect', () => socket.write('PING\r\n'));
    // A server that wants a password answers -NOAUTH: it speaks the protocol.
    socket.once('data', (data) => finish(/^(\+PONG|-NOAUTH)/.test(data.toString('latin1'))));
  });
}

async function start(): Promise<StartedBroker> {
  if (!(await isInstalled('redis-server'))) await install('redis-server');
  const port = 6379;
  const options = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'];
  const pid = await startDetached('redis-server', options);
  const url = `redis://127.0.0.1:${port}`;
  await until(() => answers(url), readyWithinMs, 'Redis');
  return { url, handle: { pid: String(pid) } };
}
