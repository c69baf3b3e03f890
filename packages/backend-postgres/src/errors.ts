import type { Fault } from '@melange/backend-kit';
import { MelangeError, MessageTooLargeError } from '@melange/core';
import { describeThrown } from '@melange/core/adapter';
import { reasonUnavailable } from '@melange/postgres';

/** A row, a parameter or an index entry is too large, in SQLSTATE. */
const tooLarge = ['54000', '53400', '22001'];
/** The schema or a table of it was dropped: the next try makes it again. */
const dropped = ['3F000', '42P01'];

/** What an error of the database means: `unavailable`, or refused for good. Nothing is missing: queues are rows. */
export function explain(error: unknown): Fault {
  const reason = reasonUnavailable(error);
  if (reason !== undefined) return { kind: 'unavailable', reason };
  const { message } = describeThrown(error);
  if (isDropped(error)) return { kind: 'unavailable', reason: message };
  if (tooLarge.includes(codeOf(error)))
    return {
      kind: 'refused',
      error: new MessageTooLargeError(`Postgres refuses it: ${message}.`, { cause: error }),
    };
  const code = codeOf(error) === '' ? 'UNSUPPORTED' : 'CONFIGURATION';
  return {
    kind: 'refused',
    error: new MelangeError(code, `Postgres refuses it: ${message}.`, { cause: error }),
  };
}

/** Whether the tables are gone. */
export function isDropped(error: unknown): boolean {
  return dropped.includes(codeOf(error));
}

function codeOf(error: unknown): string {
  const code = typeof error === 'object' && error !== null ? (error as { code?: unknown }).code : undefined;
  return typeof code === 'string' ? code : '';
}
