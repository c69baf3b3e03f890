import { MelangeError } from '@melange/core';
import { describeThrown } from '@melange/core/adapter';

/** Codes of SQLSTATE that say: not now. Two characters are a class. */
const unavailable = [
  // Connections, resources, an operator who stops it, a fault of the system.
  '08',
  '53',
  '57',
  '58',
  // Transactions that met each other.
  '40',
  // A lock that somebody holds, or is waited for too long.
  '55P03',
  '55006',
  // A server that became a standby.
  '25006',
  // A session in which nothing happened for too long.
  '25P03',
  '25P04',
];

/** What the client libraries say without a code. */
const unavailableWords =
  /connection (terminated|error|ended)|connection timeout|timeout exceeded|read timeout|not queryable|client was closed|socket hang up|PGlite is clos/i;

/** Code of SQLSTATE, or of Node's socket. */
export function codeOf(error: unknown): string {
  const code = typeof error === 'object' && error !== null ? (error as { code?: unknown }).code : undefined;
  return typeof code === 'string' ? code : '';
}

/**
 * Why the database cannot do it now and may later, or why it is not known whether it has done it: a connection that was lost, a server
 * that starts, stops, is full or became a standby. Nothing where the statement is at fault.
 */
export function reasonUnavailable(error: unknown): string | undefined {
  if (MelangeError.is(error)) return error.code === 'BROKER_UNAVAILABLE' ? error.message : undefined;
  // An attempt to connect to several addresses of a host.
  if (error instanceof AggregateError && error.errors.length > 0) return reasonUnavailable(error.errors[0]);
  const code = codeOf(error);
  const { message } = describeThrown(error);
  const isSqlState = /^[0-9A-Z]{5}$/.test(code) && !/^E[A-Z]{4}$/.test(code);
  const is = isSqlState
    ? unavailable.some((one) => code.startsWith(one))
    : /^E[A-Z_]+$/.test(code) || unavailableWords.test(message);
  return is ? message || code : undefined;
}

/** Whether the connection that said so is of no more use: what follows must ask another server, or the same one anew. */
export function endsConnection(error: unknown): boolean {
  const code = codeOf(error);
  if (code === '25006' || /^(08|57P)/.test(code)) return true;
  return !/^[0-9A-Z]{5}$/.test(code) && reasonUnavailable(error) !== undefined;
}
