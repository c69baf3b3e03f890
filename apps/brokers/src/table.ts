import type { Broker } from './broker.ts';
import { rabbitMq } from './rabbitmq.ts';
import { redis } from './redis.ts';
import { sqs } from './sqs.ts';

/** The brokers that can be had, by name. A new one is a file of its own and an entry here. */
export const brokers: ReadonlyMap<string, Broker> = new Map(
  [rabbitMq, redis, sqs].map((broker) => [broker.name, broker]),
);

/** Known by name, so that asking for one is answered plainly. */
const notYetSupported: ReadonlySet<string> = new Set(['kafka']);

/** Why there is no broker of this name; `undefined` if there is one. */
export function whyUnknown(name: string): string | undefined {
  if (brokers.has(name)) return undefined;
  const known = `known: ${[...brokers.keys()].join(', ')}`;
  return notYetSupported.has(name)
    ? `${name} is not supported yet; ${known}`
    : `unknown broker ${name}; ${known}`;
}
