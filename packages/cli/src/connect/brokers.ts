import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Logger, MessagingBackend } from '@melange/core';
import { describe, usageError } from '../exit-codes.ts';

/** A technology that can be reached by a URL. */
export interface Broker {
  /** Name of the option: `rabbitmq`. */
  readonly name: string;
  /** What the option takes, for the help. */
  readonly argument: string;
  readonly description: string;
  readonly package: string;
  readonly class: string;
  /** Options of the backend's class. */
  options(url: string): object;
}

/** All of them, in the order of the help. */
export const brokers: readonly Broker[] = [
  {
    name: 'rabbitmq',
    argument: '<url>',
    description: 'RabbitMQ: amqp://user:password@host',
    package: '@melange/backend-rabbitmq',
    class: 'RabbitMqBackend',
    options: (url) => ({ url }),
  },
  {
    name: 'sqs',
    argument: '<region|url>',
    description:
      'SQS and SNS: a region, or the URL of an emulator; who you are by the settings of the AWS SDK',
    package: '@melange/backend-sqs',
    class: 'SqsBackend',
    options: sqsOptions,
  },
  {
    name: 'kafka',
    argument: '<hosts>',
    description: 'Kafka: host:port,… or kafka[s]://user:password@host (?mechanism=scram-sha-512)',
    package: '@melange/backend-kafka',
    class: 'KafkaBackend',
    options: kafkaOptions,
  },
  {
    name: 'redis',
    argument: '<url>',
    description: 'Redis Streams: redis[s]://:password@host',
    package: '@melange/backend-redis-streams',
    class: 'RedisStreamsBackend',
    options: (url) => ({ url }),
  },
  {
    name: 'nats',
    argument: '<url>',
    description: 'NATS JetStream: nats://user:password@host',
    package: '@melange/backend-nats',
    class: 'NatsBackend',
    options: (url) => ({ url }),
  },
  {
    name: 'postgres',
    argument: '<url>',
    description: 'Postgres: postgres://user:password@host/database',
    package: '@melange/backend-postgres',
    class: 'PostgresBackend',
    options: (url) => ({ url }),
  },
];

/**
 * A backend by URL. Its package is loaded now: from the project in `cwd`, else from beside the command.
 *
 * @throws CommandError when the package is not installed, or the URL makes no sense.
 */
export async function openBroker(
  broker: Broker,
  url: string,
  { cwd, logger }: { readonly cwd: string; readonly logger: Logger },
): Promise<MessagingBackend> {
  const module = await importPackage(cwd, broker.package);
  const Backend = module[broker.class] as new (options: object) => MessagingBackend;
  try {
    return new Backend({ ...broker.options(url), logger });
  } catch (error) {
    throw usageError(`--${broker.name}: ${describe(error)}`);
  }
}

/** @throws CommandError when it is not installed. */
export async function importPackage(cwd: string, name: string): Promise<Readonly<Record<string, unknown>>> {
  for (const find of [
    () => pathToFileURL(createRequire(join(cwd, 'package.json')).resolve(name)).href,
    () => name,
  ]) {
    let specifier: string;
    try {
      specifier = find();
    } catch {
      continue;
    }
    try {
      return (await import(specifier)) as Readonly<Record<string, unknown>>;
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code !== 'ERR_MODULE_NOT_FOUND' || !message.includes(name)) throw error;
    }
  }
  throw usageError(`The package ${name} is not installed: npm install ${name}`);
}

function sqsOptions(text: string): object {
  if (!text.includes('://')) return { client: { region: text } };
  const { username, password } = new URL(text);
  const region = process.env.AWS_REGION ?? 'us-east-1';
  const endpoint = withoutUser(text);
  const credentials = {
    accessKeyId: decodeURIComponent(username),
    secretAccessKey: decodeURIComponent(password),
  };
  return { client: { endpoint, region, ...(username !== '' && { credentials }) } };
}

function kafkaOptions(text: string): object {
  if (!text.includes('://')) return { brokers: text.split(',') };
  const { protocol, username, password, searchParams } = new URL(text.replace(/,.*$/, ''));
  const mechanism =
    new URLSearchParams(/\?(.*)$/.exec(text)?.[1]).get('mechanism') ?? searchParams.get('mechanism');
  const hosts = text
    .replace(/^[a-z]+:\/\//i, '')
    .replace(/^.*@/, '')
    .replace(/[/?].*$/, '');
  return {
    brokers: hosts.split(','),
    ...(protocol === 'kafkas:' && { ssl: true }),
    ...(username !== '' && {
      sasl: {
        mechanism: mechanism ?? 'plain',
        username: decodeURIComponent(username),
        password: decodeURIComponent(password),
      },
    }),
  };
}

function withoutUser(text: string): string {
  const url = new URL(text);
  url.username = '';
  url.password = '';
  return url.href;
}
