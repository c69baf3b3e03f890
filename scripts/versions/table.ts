/** A version of a broker, and where it comes from. The first source that can be had counts. */
export interface BrokerVersion {
  /** Of the broker's product: `RabbitMQ`, `Valkey`. */
  readonly product: string;
  /** Image for Docker Compose, which takes it from the variable that the broker has in `compose.yaml`. */
  readonly image?: string;
  /** Package of this machine's own Debian. */
  readonly installed?: string;
  /** Package of Debian 13. */
  readonly debian13?: string;
  /** Programs by the names by which tests start them, and where that package has them. */
  readonly programs?: Readonly<Record<string, string>>;
  /** Version on Maven Central. */
  readonly maven?: string;
}

/** A broker, the suites that run on it, and its versions from the oldest to the newest. */
export interface BrokerVersions {
  /** As `pnpm brokers` calls it. */
  readonly broker: string;
  /** Variable in `compose.yaml` with the image. */
  readonly imageVariable?: string;
  /** Which test files, as `pnpm test` takes them. */
  readonly suites: readonly string[];
  readonly versions: readonly BrokerVersion[];
}

const rabbitMq = { 'rabbitmq-server': '/usr/sbin/rabbitmq-server', rabbitmqctl: '/usr/sbin/rabbitmqctl' };

/** What `pnpm test:versions` runs. A further broker is an entry here. */
export const table: readonly BrokerVersions[] = [
  {
    broker: 'rabbitmq',
    imageVariable: 'MELANGE_RABBITMQ_IMAGE',
    suites: ['packages/backend-rabbitmq/'],
    versions: [
      { product: 'RabbitMQ', image: 'rabbitmq:3.10-alpine', installed: 'rabbitmq-server' },
      { product: 'RabbitMQ', image: 'rabbitmq:4-alpine', debian13: 'rabbitmq-server', programs: rabbitMq },
    ],
  },
  {
    broker: 'redis',
    imageVariable: 'MELANGE_REDIS_IMAGE',
    suites: ['packages/backend-redis-streams/', 'packages/dedup-redis/'],
    versions: [
      { product: 'Redis', image: 'redis:7.0-alpine', installed: 'redis-server' },
      {
        product: 'Redis',
        image: 'redis:8-alpine',
        debian13: 'redis-server',
        programs: { 'redis-server': '/usr/bin/redis-server' },
      },
      {
        product: 'Valkey',
        image: 'valkey/valkey:8-alpine',
        debian13: 'valkey-server',
        programs: { 'redis-server': '/usr/bin/valkey-server' },
      },
    ],
  },
  {
    broker: 'kafka',
    suites: ['packages/backend-kafka/'],
    versions: [
      { product: 'Kafka', maven: '3.9.2' },
      { product: 'Kafka', maven: '4.4.0' },
    ],
  },
  {
    broker: 'nats',
    imageVariable: 'MELANGE_NATS_IMAGE',
    suites: ['packages/backend-nats/'],
    versions: [
      { product: 'NATS', image: 'nats:2.9-alpine', installed: 'nats-server' },
      {
        product: 'NATS',
        image: 'nats:2-alpine',
        debian13: 'nats-server',
        programs: { 'nats-server': '/usr/sbin/nats-server' },
      },
    ],
  },
  {
    broker: 'postgres',
    imageVariable: 'MELANGE_POSTGRES_IMAGE',
    suites: ['packages/postgres/', 'packages/backend-postgres/'],
    versions: [
      { product: 'Postgres', image: 'postgres:13-alpine', installed: 'postgresql' },
      { product: 'Postgres', image: 'postgres:18-alpine' },
    ],
  },
];
