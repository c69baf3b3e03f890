import { isPromise, type MaybePromise } from '../contract/maybe-promise.ts';
import { pathText } from '../contract/path-text.ts';
import { shortened } from '../contract/shortened.ts';
import { SerializationError } from '../errors.ts';
import type { SchemaIssue, SchemaResult, StandardSchema } from './schema.ts';

/** How many issues an error message lists; the others are only counted. */
const maxIssuesListed = 5;

/**
 * The schema's output for `value`; a promise only where the schema's own answer is one.
 *
 * @throws SerializationError when the value is not valid, or the schema itself fails.
 */
export function validate(schema: StandardSchema, value: unknown, manifest: string): MaybePromise<unknown> {
  let result: MaybePromise<SchemaResult<unknown>>;
  try {
    result = schema['~standard'].validate(value);
  } catch (cause) {
    throw schemaFailed(cause, manifest);
  }
  if (!isPromise(result)) return outputOf(result, value, manifest);
  // Wrapped: `MessageTypes` recognises promises of this realm only.
  return Promise.resolve(result).then(
    (settled) => outputOf(settled, value, manifest),
    (cause: unknown) => {
      throw schemaFailed(cause, manifest);
    },
  );
}

/** A schema should return issues. One that throws instead has the same effect: the value is not valid. */
function schemaFailed(cause: unknown, manifest: string): SerializationError {
  return new SerializationError(`The schema of "${shortened(manifest)}" threw.`, { cause });
}

function outputOf(result: SchemaResult<unknown>, value: unknown, manifest: string): unknown {
  if (result.issues === undefined) return result.value;
  const paths = result.issues.map(keysOf);
  const told = result.issues.slice(0, maxIssuesListed).map(({ message }, index) => {
    const path = paths[index] ?? [];
    return `${pathText(path)}: ${shortened(message)}${isTextForDate(message, value, path) ? textForDate : ''}`;
  });
  const untold = result.issues.length - told.length;
  if (untold > 0) told.push(`and ${untold} more`);
  throw new SerializationError(`"${shortened(manifest)}" is not valid: ${told.join('; ')}`, {
    path: paths[0] ?? [],
  });
}

const textForDate =
  ' (JSON carries a date as text, and schemas see it so: have the schema make a Date of the text, as z.coerce.date() does)';

/** A schema that accepts only a `Date` refuses every message, also those that the service itself publishes. */
function isTextForDate(message: string, value: unknown, path: readonly PropertyKey[]): boolean {
  if (!/date/i.test(message)) return false;
  let at = value;
  for (const key of path) at = (at as Record<PropertyKey, unknown> | null | undefined)?.[key];
  return typeof at === 'string' && !Number.isNaN(Date.parse(at));
}

function keysOf(issue: SchemaIssue): PropertyKey[] {
  // A plain list: some library's path is a kind of array of its own, which `map` would keep.
  return Array.from(issue.path ?? [], (segment) => (typeof segment === 'object' ? segment.key : segment));
}
