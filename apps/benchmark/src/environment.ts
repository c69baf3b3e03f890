import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { cpus, loadavg, release, totalmem, type } from 'node:os';
import { fauxqsVersion, kafkaVersion } from '@melange/brokers';
import { openPostgres } from '@melange/postgres';
import { connect } from 'amqplib';
import { Redis } from 'ioredis';
import type { BrokerAddress } from './brokers.ts';
import type { BrokerName } from './table.ts';

/** Where something was measured. */
export interface Environment {
  readonly machine: string;
  readonly system: string;
  readonly node: string;
  /** Average load of the last minute when the table was begun: on a quiet machine, below 1. */
  readonly load: number;
}

export function environment(): Environment {
  const processors = cpus();
  const gibibytes = Math.round(totalmem() / 1_073_741_824);
  return {
    machine: `${processors.length} × ${processors[0]?.model.trim() ?? 'unknown'}, ${gibibytes} GiB`,
    system: `${type()} ${release()}`,
    node: process.version,
    load: loadavg()[0] ?? 0,
  };
}

const require = createRequire(import.meta.url);

/** `amqplib 2.3.1` */
export function versionOfLibrary(name: string): string {
  // By its file: not every package exports its description.
  const path = require.resolve
    .paths(name)
    ?.map((folder) => `${folder}/${name}/package.json`)
    .find(isReadable);
  const { version } = JSON.parse(path === undefined ? '{}' : readFileSync(path, 'utf8')) as {
    version?: string;
  };
  return `${name} ${version ?? '(unknown version)'}`;
}

function isReadable(path: string): boolean {
  try {
    readFileSync(path);
    return true;
  } catch {
    return false;
  }
}

/** The broker and its version: as it says itself, else as `apps/brokers` started it. */
export async function versionOfBroker(name: BrokerName, { address, isOurs }: BrokerAddress): Promise<string> {
  if (name === 'rabbitmq') return `RabbitMQ ${await askRabbitMq(address)}`;
  if (name === 'redis') return `Redis ${await askRedis(address)}`;
  if (name === 'postgres') return `Postgres ${await askPostgres(address)}`;
  if (!isOurs) return name === 'kafka' ? 'Apache Kafka' : 'SQS';
  if (name === 'sqs') return `fauxqs ${fauxqsVersion}, an emulator of SQS`;
  return `Apache Kafka ${process.env.MELANGE_KAFKA_VERSION ?? kafkaVersion}`;
}

async function askRabbitMq(address: string): Promise<string> {
  const connection = await connect(address);
  const { version } = connection.connection.serverProperties;
  await connection.close();
  return version;
}

async function askRedis(address: string): Promise<string> {
  const redis = new Redis(address);
  const version = /redis_version:(\S+)/.exec(await redis.info('server'))?.[1];
  await redis.quit();
  return version ?? '(unknown version)';
}

async function askPostgres(address: string): Promise<string> {
  const connection = openPostgres({ url: address });
  try {
    const { rows } = await connection.execute(
      `select split_part(current_setting('server_version'), ' ', 1) as version`,
      [],
    );
    return String(rows[0]?.version);
  } finally {
    await connection.close();
  }
}
