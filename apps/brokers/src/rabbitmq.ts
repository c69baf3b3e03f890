import { connect } from 'amqplib';
import type { Broker } from './broker.ts';
import { freePort, until } from './processes.ts';
import { controlNode, isNodeThere, type NodeTls, startNode, stopNode } from './rabbitmq-node.ts';

const standardPort = 5672;
const answersWithinMs = 3_000;
const readyWithinMs = 90_000;

/** RabbitMQ, each time as a node of its own with its own data, beside whatever the system runs. */
export const rabbitMq: Broker = {
  name: 'rabbitmq',
  variable: 'RABBITMQ_URL',
  standardUrl: `amqp://127.0.0.1:${standardPort}`,
  service: 'rabbitmq',
  answers,
  start: async () => start(await freePort(standardPort)),
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
  const tls = options.tls === undefined ? undefined : { ...options.tls, port: await freePort() };
  const { url, handle } = await start(options.port ?? (await freePort()), tls);
  const control = (...parameters: string[]): Promise<void> => controlNode(handle.node, parameters);
  return {
    url,
    secureUrl: tls === undefined ? undefined : `amqps://localhost:${tls.port}`,
    control,
    async restart() {
      await control('stop_app');
      await control('start_app');
      await untilItAnswers(url);
    },
    stop: () => stopNode(handle),
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

async function start(
  port: number,
  tls?: NodeTls,
): Promise<{ url: string; handle: { node: string; directory: string } }> {
  const handle = await startNode(port, tls);
  const url = `amqp://127.0.0.1:${port}`;
  try {
    await untilItAnswers(url);
  } catch (error) {
    await stopNode(handle).catch(() => undefined);
    throw error;
  }
  return { url, handle };
}

async function untilItAnswers(url: string): Promise<void> {
  await until(() => answers(url), readyWithinMs, 'an answer of RabbitMQ');
}
