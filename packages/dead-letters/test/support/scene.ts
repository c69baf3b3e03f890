import { randomUUID } from 'node:crypto';
import { KafkaBackend } from '@melange/backend-kafka';
import { MemoryBackend } from '@melange/backend-memory';
import { NatsBackend } from '@melange/backend-nats';
import { PostgresBackend } from '@melange/backend-postgres';
import { RabbitMqBackend } from '@melange/backend-rabbitmq';
import { RedisStreamsBackend } from '@melange/backend-redis-streams';
import { SqsBackend } from '@melange/backend-sqs';
import {
  DeadLetterHeader,
  type Delivery,
  type Message,
  type MessagingBackend,
  silentLogger,
} from '@melange/core';

/** A broker that the tests run on. */
export interface Broker {
  readonly name: string;
  /** Reason that it cannot be used here. */
  readonly missing: string | undefined;
  /** Another process's view of the broker. */
  open(): MessagingBackend;
}

const { RABBITMQ_URL, REDIS_URL, SQS_URL, KAFKA_URL, NATS_URL, POSTGRES_URL } = process.env;
const logger = silentLogger;
const local = { accessKeyId: 'local', secretAccessKey: 'local' };
const missing = (url: string | undefined, name: string): string | undefined =>
  url === undefined ? `skipped without ${name}` : undefined;

export const brokers: readonly Broker[] = [
  {
    name: 'RabbitMQ',
    missing: missing(RABBITMQ_URL, 'RABBITMQ_URL'),
    open: () => new RabbitMqBackend({ url: RABBITMQ_URL as string, logger }),
  },
  {
    name: 'Redis Streams',
    missing: missing(REDIS_URL, 'REDIS_URL'),
    open: () => new RedisStreamsBackend({ url: REDIS_URL as string, logger }),
  },
  {
    name: 'SQS',
    missing: missing(SQS_URL, 'SQS_URL'),
    open: () =>
      new SqsBackend({
        client: { endpoint: SQS_URL as string, region: 'us-east-1', credentials: local },
        logger,
      }),
  },
  {
    name: 'Kafka',
    missing: missing(KAFKA_URL, 'KAFKA_URL'),
    open: () => new KafkaBackend({ brokers: [new URL(KAFKA_URL as string).host], logger }),
  },
  {
    name: 'NATS',
    missing: missing(NATS_URL, 'NATS_URL'),
    open: () => new NatsBackend({ url: NATS_URL as string, logger }),
  },
  {
    name: 'Postgres',
    missing: missing(POSTGRES_URL, 'POSTGRES_URL'),
    open: () => new PostgresBackend({ url: POSTGRES_URL as string, logger }),
  },
];

/** A broker in this process: its second view is the same backend. */
export function memory(): MemoryBackend {
  return new MemoryBackend();
}

/** The same backend as one that cannot be browsed: looks receive, hold and give back. */
export function unbrowsable(backend: MessagingBackend): MessagingBackend {
  return new Proxy(backend, {
    get(target, name) {
      if (name === 'capabilities') return { ...target.capabilities, browse: false };
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

/** A queue and its dead-letter queue, with names of their own. */
export async function queues(backend: MessagingBackend): Promise<{ queue: string; dead: string }> {
  const queue = `orders-${randomUUID()}`;
  const dead = `${queue}-dead`;
  await backend.declareQueue(queue, { deadLetterQueue: dead });
  return { queue, dead };
}

/** A message that is no dead letter yet. */
export function message(id: string, overrides: Partial<Message> = {}): Message {
  return {
    id,
    content: `{"order":"${id}"}`,
    manifest: 'OrderPlaced',
    serializerId: 1,
    key: undefined,
    headers: { tenant: 'acme' },
    publishedAt: 1_700_000_000_000,
    ...overrides,
  };
}

/** How one message fails. */
export interface Failing {
  readonly id: string;
  readonly reason?: string;
  readonly error?: unknown;
  readonly consumer?: string;
  readonly message?: Partial<Message>;
}

/** Publishes messages and dead-letters each, in order. */
export async function fail(
  backend: MessagingBackend,
  queue: string,
  failing: readonly Failing[],
): Promise<void> {
  for (const { id, reason = 'rejected', error, consumer, message: parts } of failing) {
    await backend.publishToQueue(queue, [message(id, parts)]);
    const delivery = await next(backend, queue);
    await delivery.deadLetter({ reason, error, consumer });
    await settledSubscriptions();
  }
}

const open = new Set<Promise<void>>();

/** The next message of a queue. */
export async function next(backend: MessagingBackend, queue: string): Promise<Delivery> {
  const { promise, resolve } = deferred<Delivery>();
  const subscription = await backend.subscribe(queue, { maxInFlight: 1 }, resolve);
  const delivery = await promise;
  const closed = subscription.close();
  open.add(closed);
  void closed.then(() => open.delete(closed));
  return delivery;
}

/** Waits until what `next` opened is closed, which is when its message is settled. */
export async function settledSubscriptions(): Promise<void> {
  await Promise.all(open);
}

/** What waits in a queue, taken out of it, in order. */
export async function drain(
  backend: MessagingBackend,
  queue: string,
  count: number,
): Promise<readonly Message[]> {
  const messages: Message[] = [];
  const { promise, resolve } = deferred<void>();
  if (count === 0) return messages;
  const subscription = await backend.subscribe(queue, { maxInFlight: 10 }, (delivery) => {
    messages.push(delivery.message);
    void Promise.resolve(delivery.acknowledge()).then(() => {
      if (messages.length === count) resolve();
    });
  });
  await promise;
  await subscription.close();
  return messages;
}

/** A promise and what resolves it. */
export function deferred<T>(): { readonly promise: Promise<T>; readonly resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

/** Headers without those that say how a message became a dead letter. */
export function ownHeaders({ headers }: Message): Record<string, string> {
  const dead: readonly string[] = Object.values(DeadLetterHeader);
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !dead.includes(name)));
}
