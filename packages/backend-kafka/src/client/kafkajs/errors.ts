import { BrokerUnavailableError, MelangeError } from '@melange/core';
import { typeOf } from '../../errors.ts';

const maxStopMs = 3_000;
const settling: ReadonlySet<string> = new Set([
  'LEADER_NOT_AVAILABLE',
  'KAFKA_STORAGE_ERROR',
  'NOT_COORDINATOR_FOR_GROUP',
  'GROUP_COORDINATOR_NOT_AVAILABLE',
  'GROUP_LOAD_IN_PROGRESS',
]);

/** The request itself is wrong: no broker will ever answer otherwise. */
const refused =
  /^(INVALID_(TOPIC_EXCEPTION|PARTITIONS|REPLICATION_FACTOR|REPLICA_ASSIGNMENT|CONFIG)|POLICY_VIOLATION)$/;

interface ErrorLike {
  readonly errors?: readonly ErrorLike[];
  readonly message?: string;
}

/** A topic that was made a moment ago, or a leader or coordinator that moves: soon the answer is another one. */
export function isSettling(error: unknown): boolean {
  const type = typeOf(error);
  // kafkajs stumbles over partitions without a leader.
  if (type === undefined) return error instanceof TypeError;
  return type.startsWith('NOT_LEADER') || settling.has(type);
}

/** Whether there was no answer at all. */
export function isConnectionProblem(error: unknown): boolean {
  return typeOf(error) === undefined;
}

/** What callers of the client see. */
export function asMelangeError(error: unknown): MelangeError {
  if (MelangeError.is(error)) return error;
  const { errors, ...only } = (error ?? {}) as ErrorLike;
  const message = errors?.[0]?.message ?? (error as ErrorLike | undefined)?.message ?? String(only);
  const type = typeOf(error);
  if (type?.includes('AUTHORIZATION') === true || type?.includes('SASL') === true)
    return new MelangeError('CONFIGURATION', `Kafka refuses: ${message}. Grant the ACLs of the README.`, {
      cause: error,
    });
  if (type !== undefined && refused.test(type))
    return new MelangeError('CONFIGURATION', `Kafka refuses: ${message} (${type}).`, { cause: error });
  return new BrokerUnavailableError(`Kafka does not answer as it should: ${message}`, { cause: error });
}

/** Waits for no longer than 3 s: kafkajs waits for connections that are gone and for a coordinator that is down. */
export async function bounded(work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, maxStopMs);
  });
  await Promise.race([work.catch(() => undefined), timeout]);
  clearTimeout(timer);
}
