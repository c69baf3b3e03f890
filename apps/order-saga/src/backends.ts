import { join } from 'node:path';
import { KafkaBackend } from '@melange/backend-kafka';
import { MemoryBackend } from '@melange/backend-memory';
import { NatsBackend } from '@melange/backend-nats';
import { PostgresBackend } from '@melange/backend-postgres';
import { RabbitMqBackend } from '@melange/backend-rabbitmq';
import { RedisStreamsBackend } from '@melange/backend-redis-streams';
import { SqsBackend } from '@melange/backend-sqs';
import { bringUp, release } from '@melange/brokers';
import { MelangeError, type MessagingBackend, silentLogger } from '@melange/core';
import type { BackendName, RunOptions } from './arguments.ts';
import type { Backends } from './service.ts';
import { within } from './within.ts';

/** Open backends, and the way to close them and what was started for them. */
export interface OpenBackends {
  readonly backends: Backends;
  /** Each of them once, by its name. */
  readonly byName: ReadonlyMap<BackendName, MessagingBackend>;
  /** @param deadlineMs how long one may take. Default: as long as it wants. */
  close(deadlineMs?: number): Promise<void>;
}

/**
 * A backend for each service; services of one broker share it.
 *
 * @throws MelangeError `BROKER_UNAVAILABLE` when a broker can neither be found nor started.
 */
export async function openBackends(options: RunOptions, log: (line: string) => void): Promise<OpenBackends> {
  const open = new Map<BackendName, MessagingBackend>();
  const used: string[] = [];
  const backendOf = async (name: BackendName): Promise<MessagingBackend> => {
    const backend = open.get(name) ?? (await makers[name](used, log, options.folder));
    open.set(name, backend);
    return backend;
  };
  const close = async (deadlineMs?: number): Promise<void> => {
    try {
      const closed = Promise.all([...open.values()].map((backend) => backend.close()));
      await (deadlineMs === undefined ? closed : within(deadlineMs, closed));
    } finally {
      if (used.length > 0) await release(used);
    }
  };
  try {
    const { orders, payments, saga } = options.backends;
    const backends: Backends = {
      orders: await backendOf(orders),
      payments: await backendOf(payments),
      saga: await backendOf(saga),
    };
    return { backends, byName: open, close };
  } catch (error) {
    await close();
    throw error;
  }
}

type Maker = (used: string[], log: (line: string) => void, folder: string) => Promise<MessagingBackend>;

const makers: Readonly<Record<BackendName, Maker>> = {
  memory: async () => new MemoryBackend(),
  rabbitmq: async (used, log) =>
    new RabbitMqBackend({ url: await addressOf('rabbitmq', used, log), logger: silentLogger }),
  kafka: async (used, log) =>
    new KafkaBackend({ brokers: [await addressOf('kafka', used, log)], logger: silentLogger }),
  'redis-streams': async (used, log) =>
    new RedisStreamsBackend({ url: await addressOf('redis', used, log), logger: silentLogger }),
  nats: async (used, log) =>
    new NatsBackend({ url: await addressOf('nats', used, log), logger: silentLogger }),
  postgres: async (used, log, folder) => {
    if ((process.env.POSTGRES_URL ?? '') !== '')
      return new PostgresBackend({ url: await addressOf('postgres', used, log), logger: silentLogger });
    const directory = join(folder, 'postgres');
    log(`no POSTGRES_URL is set: Postgres in this process, its data in ${directory}`);
    return new PostgresBackend({ directory, logger: silentLogger });
  },
  sqs: async (used, log) => {
    const endpoint = await addressOf('sqs', used, log);
    const { AWS_REGION: region = 'us-east-1', AWS_ACCESS_KEY_ID: given } = process.env;
    // An emulator wants some credentials, and takes any.
    const anyone = { credentials: { accessKeyId: 'any', secretAccessKey: 'any' } };
    const client = { endpoint, region, ...(given === undefined && anyone) };
    return new SqsBackend({ client, logger: silentLogger });
  },
};

async function addressOf(name: string, used: string[], log: (line: string) => void): Promise<string> {
  const [result] = await bringUp([name], { log, until: 'release' });
  if (result === undefined || 'missing' in result) {
    throw new MelangeError('BROKER_UNAVAILABLE', `${name} cannot be had: ${result?.missing ?? 'unknown'}`);
  }
  if (result.handle !== undefined) used.push(name);
  return result.url;
}
