import { connect } from 'amqplib';
import type { Broker, StartedBroker } from './broker.ts';
import { privateRecord } from './private-record.ts';
import { freePort, install, isInstalled, tryAgain } from './processes.ts';
import {
  controlNode,
  isNodeThere,
  type NodeHandle,
  type NodeTls,
  startNode,
  stopNode,
} from './rabbitmq-node.ts';
import { startAgain, untilReady } from './ready.ts';

const standardPort = 5672;
const answersWithinMs = 3_000;
const stopsWithinMs = 60_000;

/** RabbitMQ, each time as a node of its own with its own data, beside whatever the system runs. */
export const rabbitMq: Broker = {
  name: 'rabbitmq',
  variable: 'RABBITMQ_URL',
  standardUrl: `amqp://127.0.0.1:${standardPort}`,
  service: 'rabbitmq',
  readyWithinMs: 90_000,
  answers,
  async start() {
    // Before a port is chosen: where the system runs services, the package starts one on the standard port.
    await installServer();
    return start(await freePort(standardPort));
  },
  isThere: isNodeThere,
  stop: stopNode,
};

/** How to start a RabbitMQ for one test. */
export interface StartRabbitMqOptions {
  /** Where it listens on 127.0.0.1; without it, a free port. */
  readonly port?: number;
  /** PEM files with which it speaks TLS too, on a port of its own. */
  readonly tls?: { readonly certificate: string; readonly key: string };
}

/** A RabbitMQ for one test, which may break it. */
export interface PrivateRabbitMq {
  readonly url: string;
  /** Where it speaks TLS, if it was asked to. */
  readonly secureUrl: string | undefined;
  /** Runs `rabbitmqctl` on it, with these parameters. */
  control(...parameters: string[]): Promise<void>;
  /** `stop_app` and `start_app`: connections are lost, durable queues and messages stay. Resolves when it answers. */
  restart(): Promise<void>;
  /** Ends the node and deletes its data. */
  stop(): Promise<void>;
}

/** Starts a node with data of its own, which nobody else knows. The caller stops it. */
export async function startRabbitMq(options: StartRabbitMqOptions = {}): Promise<PrivateRabbitMq> {
  await installServer();
  const tls = options.tls === undefined ? undefined : { ...options.tls, port: await freePort() };
  const started = await start(options.port ?? (await freePort()), tls);
  const { url, handle } = started;
  const record = privateRecord(rabbitMq.name);
  await record.keep(handle);
  await untilReady(rabbitMq, started);
  const control = (...parameters: string[]): Promise<void> => controlNode(handle.node, parameters);
  return {
    url,
    secureUrl: tls === undefined ? undefined : `amqps://localhost:${tls.port}`,
    control,
    async restart() {
      await tryAgain(() => control('stop_app'), stopsWithinMs);
      // The node stays, and with it its data, while its application is started.
      await startAgain({ ...rabbitMq, stop: async () => undefined }, async () => {
        await control('start_app');
        return started;
      });
    },
    async stop() {
      await stopNode(handle);
      await record.remove();
    },
  };
}

async function answers(url: string): Promise<boolean> {
  try {
    const connection = await connect(url, { timeout: answersWithinMs });
    connection.on('error', () => undefined);
    await connection.close();
    return true;
  } catch {
    return false;
  }
}

async function installServer(): Promise<void> {
  if (!(await isInstalled('rabbitmq-server'))) await install('rabbitmq-server');
}

async function start(port: number, tls?: NodeTls): Promise<StartedBroker & { readonly handle: NodeHandle }> {
  return { url: `amqp://127.0.0.1:${port}`, handle: await startNode(port, tls) };
}
