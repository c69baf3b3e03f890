import { createConnection } from 'node:net';
import type { Broker, StartedBroker } from './broker.ts';
import { haltNode, isNodeThere, resumeNode, startNode, stopNode } from './kafka-node.ts';
import { privateRecord } from './private-record.ts';
import { freePort } from './processes.ts';
import { startAgain, untilReady } from './ready.ts';

const standardPort = Number(process.env.MELANGE_KAFKA_PORT ?? 9092);
const answersWithinMs = 3_000;

/** Apache Kafka of one node in KRaft mode, from Maven Central, with data of its own. */
export const kafka: Broker = {
  name: 'kafka',
  variable: 'KAFKA_URL',
  standardUrl: `kafka://127.0.0.1:${standardPort}`,
  service: 'kafka',
  readyWithinMs: 60_000,
  answers,
  start: async () => start(await freePort(standardPort)),
  isThere: isNodeThere,
  stop: stopNode,
};

/** How to start a Kafka for one test. */
export interface StartKafkaOptions {
  /** Where it listens on 127.0.0.1; without it, a free port. */
  readonly port?: number;
  /** Version on Maven Central. Default: `MELANGE_KAFKA_VERSION`, else the current one. */
  readonly version?: string;
}

/** A Kafka for one test, which may break it. */
export interface PrivateKafka {
  /** `kafka://host:port` */
  readonly url: string;
  /** Ends the process and starts it again on its data; resolves when it answers. */
  restart(): Promise<void>;
  /** Ends the node and deletes its data. */
  stop(): Promise<void>;
}

/** Starts a node with data of its own, which nobody else knows. The caller stops it. */
export async function startKafka(options: StartKafkaOptions = {}): Promise<PrivateKafka> {
  const started = await start(options.port ?? (await freePort()), options.version);
  const { url, handle } = started;
  const record = privateRecord(kafka.name);
  await record.keep(handle);
  await untilReady(kafka, started);
  return {
    url,
    async restart() {
      await haltNode(handle);
      await startAgain({ ...kafka, stop: haltNode }, async () => {
        await resumeNode(handle);
        return started;
      });
    },
    async stop() {
      await stopNode(handle);
      await record.remove();
    },
  };
}

async function start(port: number, version?: string): Promise<StartedBroker> {
  return { url: `kafka://127.0.0.1:${port}`, handle: await startNode(port, version) };
}

/** Key 18 (ApiVersions), version 0, correlation id 7, no client id: any Kafka answers it to anybody. */
const question = Buffer.from('0000000a0012000000000007ffff', 'hex');

/** @param given `kafka://host:port` or `host:port`, as the backend takes them; an IPv6 address in brackets. */
async function answers(given: string): Promise<boolean> {
  const url = given.includes('://') ? given : `kafka://${given}`;
  if (!URL.canParse(url)) return false;
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    const socket = createConnection({
      host: hostname.replace(/^\[|\]$/g, ''),
      port: Number(port || standardPort),
    });
    const finish = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(answersWithinMs, () => finish(false));
    socket.once('error', () => finish(false));
    socket.once('close', () => finish(false));
    socket.once('connect', () => socket.write(question));
    socket.once('data', (data) => finish(data.length >= 8 && data.readInt32BE(4) === 7));
  });
}
