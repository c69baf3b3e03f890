import { MelangeError } from '@melange/core';

/** Version of OpenTelemetry's semantic conventions that the names follow. */
export const semanticConventionsVersion = '1.45.0';

/** Names of attributes of metrics. Those of `messaging.` are the conventions', those of `melange.` Melange's own. */
export const MetricAttribute = {
  system: 'messaging.system',
  operationName: 'messaging.operation.name',
  operationType: 'messaging.operation.type',
  destination: 'messaging.destination.name',
  errorType: 'error.type',
  consumer: 'melange.consumer',
  outcomeCause: 'melange.outcome.cause',
  deadLetterReason: 'melange.dead_letter.reason',
  leaseOf: 'melange.lease.of',
} as const;

const systems: Readonly<Record<string, string>> = {
  rabbitmq: 'rabbitmq',
  kafka: 'kafka',
  sqs: 'aws_sqs',
  'redis-streams': 'redis',
  nats: 'nats',
  postgres: 'postgresql',
  memory: 'melange_memory',
};

/** The conventions' name of a backend's technology; that of the backend where they have none. */
export function systemOf(backend: string, kind: 'queue' | 'topic' = 'queue'): string {
  return backend === 'sqs' && kind === 'topic' ? 'aws.sns' : (systems[backend] ?? backend);
}

/** A low number of values: the code of an error of Melange, else the name of its class. */
export function errorTypeOf(error: unknown): string {
  if (MelangeError.is(error)) return error.code;
  return error instanceof Error ? error.name : typeof error;
}
