import type { Fault } from '@melange/backend-kit';
import { MelangeError } from '@melange/core';

interface ErrorLike {
  readonly type?: unknown;
  readonly cause?: ErrorLike;
  readonly originalError?: ErrorLike;
  readonly errors?: readonly ErrorLike[];
}

/** Name of a protocol error, such as `UNKNOWN_TOPIC_OR_PARTITION`, wherever in the chain of causes. */
export function typeOf(error: unknown): string | undefined {
  for (
    let at = error as ErrorLike | undefined;
    at !== undefined && at !== null;
    at = at.cause ?? at.originalError ?? at.errors?.[0]
  )
    if (typeof at.type === 'string') return at.type;
  return undefined;
}

/** Answers after which sending the same record again cannot help. */
const refusal =
  /AUTHORIZATION|MESSAGE_TOO_LARGE|RECORD_LIST_TOO_LARGE|INVALID_(RECORD|TOPIC|REQUIRED|TIMESTAMP)|POLICY_VIOLATION|CORRUPT/;

/** Whether a broker refused records for good. */
export function isRefusal(error: unknown): boolean {
  return refusal.test(typeOf(error) ?? '');
}

/** Clients reject with Melange's errors, which the kit understands: any other error is a defect of ours. */
export function explain(error: unknown): Fault {
  const text = error instanceof Error ? error.message : String(error);
  return { kind: 'refused', error: new MelangeError('PUBLISH_FAILED', `Kafka: ${text}`, { cause: error }) };
}
