import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'amqplib';
import type { Broker, StartedBroker } from './broker.ts';
import { freePort, install, isInstalled, run, until } from './processes.ts';

const standardPort = 5672;
const readyWithinMs = 90_000;

/** RabbitMQ, each time as a node of its own with its own data, beside whatever the system runs. */
export const rabbitMq: Broker = {
  name: 'rabbitmq',
  variable: 'RABBITMQ_URL',
  standardUrl: `amqp://127.0.0.1:${standardPort}`,
  service: 'rabbitmq',
  answers,
  start: () => start(standardPort),
  stop,
};

/** A RabbitMQ for one test, which may break it. */
export interface PrivateRabbitMq {
  readonly url: string;
  /** `stop_app` and `start_app`: connections are lost, durable queues and messages stay. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

/** Starts a node on a free port. */
export async function startPrivateRabbitMq(): Promise<PrivateRabbitMq> {
  const { url, handle } = await start(await freePort());
  return { url, restart: () => restartRabbitMq(handle.node as string, url), stop: () => stop(handle) };
}

/** Stops and starts the application of a node of ours; resolves when it answers again. */
export async function restartRabbitMq(node: string, url: string): Promise<void> {
  await run('rabbitmqctl', ['-n', node, 'stop_app']);
  await run('rabbitmqctl', ['-n', node, 'start_app']);
  await until(() => answers(url), readyWithinMs, 'RabbitMQ');
}

async function answers(url: string): Promise<boolean> {
  try {
    const connection = await connect(url, { timeout: 3_000 });
    connection.on('error', () => undefined);
    await connection.close();
    return true;
  } catch {
    return false;
  }
}

async function start(port: number): Promise<StartedBroker> {
  if (!(await isInstalled('rabbitmq-server'))) await install('rabbitmq-server');
  const directory = await mkdtemp(join(tmpdir(), 'melange-rabbitmq-'));
  const node = `melange-${port}@localhost`;
  await writeFile(
    join(directory, 'rabbitmq.conf'),
    `listeners.tcp.1 = 127.0.0.1:${port}\nlog.file.level = warning\n`,
  );
  await writeFile(join(directory, 'enabled_plugins'), '[].\n');
  if (process.getuid?.() === 0) await run('chown', ['-R', 'rabbitmq:rabbitmq', directory]);
  const env = {
    ...process.env,
    RABBITMQ_NODENAME: node,
    RABBITMQ_NODE_PORT: String(port),
    RABBITMQ_DIST_PORT: String(await freePort()),
    RABBITMQ_NODE_IP_ADDRESS: '127.0.0.1',
    RABBITMQ_MNESIA_BASE: directory,
    RABBITMQ_LOG_BASE: directory,
    RABBITMQ_PID_FILE: join(directory, 'pid'),
    RABBITMQ_ENABLED_PLUGINS_FILE: join(directory, 'enabled_plugins'),
    RABBITMQ_CONFIG_FILE: join(directory, 'rabbitmq'),
  };
  await run('rabbitmq-server', ['-detached'], { env, cwd: tmpdir() });
  const url = `amqp://127.0.0.1:${port}`;
  const handle = { node, directory };
  try {
    await until(() => answers(url), readyWithinMs, 'RabbitMQ');
  } catch (error) {
    await stop(handle).catch(() => undefined);
    throw error;
  }
  return { url, handle };
}

async function stop(handle: StartedBroker['handle']): Promise<void> {
  await run('rabbitmqctl', ['-n', handle.node as string, 'stop']);
  await rm(handle.directory as string, { recursive: true, force: true });
}
