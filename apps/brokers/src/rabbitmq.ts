import { connect } from 'amqplib';
import type { Broker } from './broker.ts';
import { freePort, until } from './processes.ts';
import { controlNode, isNodeThere, type NodeTls, startNode, stopNode } from './rabbitmq-node.ts';
import { readState } from './state.ts';

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

/** Restarts one node. */
export interface RabbitMqControl {
  /** Name of the node, for `rabbitmqctl -n`. */
  readonly node: string;
  /** `stop_app` and `start_app`: connections are lost, durable queues and messages stay. */
  restart(): Promise<void>;
}

/** A RabbitMQ for one test, which may break it. */
export interface PrivateRabbitMq extends RabbitMqControl {
  readonly url: string;
  /** Where it speaks TLS, if it was asked to. */
  readonly secureUrl: string | undefined;
  /** Ends the node and deletes its data. */
  stop(): Promise<void>;
}

/** Starts a node with data of its own, which nobody else knows. The caller stops it. */
export async function startRabbitMq(options: StartRabbitMqOptions = {}): Promise<PrivateRabbitMq> {
  const tls = options.tls === undefined ? undefined : { ...options.tls, port: await freePort() };
  const { url, handle } = await start(options.port ?? (await freePort()), tls);
  return {
    url,
    secureUrl: tls === undefined ? undefined : `amqps://localhost:${tls.port}`,
    node: handle.node,
    restart: () => restartRabbitMq(handle.node, url),
    stop: () => stopNode(handle),
  };
}

/**
 * Control of the shared RabbitMQ at that address; `null` if it is not ours to restart: neither `up` nor the test
 * run started it, nor does `MELANGE_RABBITMQ_NODE` name the node behind `RABBITMQ_URL`.
 */
export async function rabbitMqControl(url: string): Promise<RabbitMqControl | null> {
  const started = (await readState()).rabbitmq;
  const named = url === process.env.RABBITMQ_URL ? process.env.MELANGE_RABBITMQ_NODE : undefined;
  const node = started?.url === url ? started.handle.node : named;
  return node === undefined || node === '' ? null : { node, restart: () => restartRabbitMq(node, url) };
}

/** Stops and starts the application of a node of ours; resolves when it answers again. */
export async function restartRabbitMq(node: string, url: string): Promise<void> {
  await controlNode(node, ['stop_app']);
  await controlNode(node, ['start_app']);
  await untilItAnswers(url);
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
