import type { Fault } from '@melange/backend-kit';
import { MelangeError } from '@melange/core';
import { JetStreamApiCodes, JetStreamApiError } from '@nats-io/jetstream';
import { errors } from '@nats-io/transport-node';

const { TimeoutError, ClosedConnectionError, DrainingConnectionError, ConnectionError, RequestError } =
  errors;
const outages = [TimeoutError, ClosedConnectionError, DrainingConnectionError, ConnectionError, RequestError];
const missing: readonly number[] = [JetStreamApiCodes.StreamNotFound, JetStreamApiCodes.ConsumerNotFound];

/** What an error of the client library means: `missing`, `unavailable`, or refused for good. */
export function explain(error: unknown): Fault {
  const reason = error instanceof Error ? error.message : String(error);
  const { code = 0, status = 0 } = error instanceof JetStreamApiError ? error : {};
  if (missing.includes(code) || isNoResponders(error)) return { kind: 'missing' };
  if (status >= 500 || outages.some((outage) => error instanceof outage))
    return { kind: 'unavailable', reason };
  const kind = status > 0 ? 'CONFIGURATION' : 'UNSUPPORTED';
  return { kind: 'refused', error: new MelangeError(kind, reason, { cause: error }) };
}

/** Nobody listens on the subject of a request. */
export function isNoResponders(error: unknown): boolean {
  return error instanceof RequestError && error.isNoResponders();
}
