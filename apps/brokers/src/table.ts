import type { Broker } from './broker.ts';
import { kafka } from './kafka.ts';
import { nats } from './nats.ts';
import { postgres } from './postgres.ts';
import { rabbitMq } from './rabbitmq.ts';
import { redis } from './redis.ts';
import { sqs } from './sqs.ts';

/** The brokers that can be had, by name. A new one is a file of its own and an entry here. */
export const brokers: ReadonlyMap<string, Broker> = new Map(
  [rabbitMq, redis, sqs, kafka, nats, postgres].map((broker) => [broker.name, broker]),
);

/** Why there is no broker of this name; `undefined` if there is one. */
export function whyUnknown(name: string): string | undefined {
  if (brokers.has(name)) return undefined;
  return `unknown broker ${name}; known: ${[...brokers.keys()].join(', ')}`;
}
