import {
  type MaybePromise,
  type SchemaIssue,
  type SchemaResult,
  SerializationError,
  type StandardSchema,
} from '@melange/core';

/** The schema's output for `value`; a promise only where the schema's own answer is one. */
export function validate(schema: StandardSchema, value: unknown, manifest: string): MaybePromise<unknown> {
  const result = schema['~standard'].validate(value);
  if (result instanceof Promise) return result.then((settled) => outputOf(settled, manifest));
  return outputOf(result, manifest);
}

function outputOf(result: SchemaResult<unknown>, manifest: string): unknown {
  if (result.issues === undefined) return result.value;
  const paths = result.issues.map(keysOf);
  const lines = result.issues.map((issue, index) => `${textOf(paths[index] ?? [])}: ${issue.message}`);
  throw new SerializationError(`"${manifest}" is not valid: ${lines.join('; ')}`, { path: paths[0] ?? [] });
}

function keysOf(issue: SchemaIssue): PropertyKey[] {
  return (issue.path ?? []).map((segment) => (typeof segment === 'object' ? segment.key : segment));
}

/** `items[0].price`; the whole value is `(root)`. */
function textOf(path: readonly PropertyKey[]): string {
  let text = '';
  for (const key of path) {
    if (typeof key === 'number') text += `[${key}]`;
    else text += text === '' ? String(key) : `.${String(key)}`;
  }
  return text === '' ? '(root)' : text;
}
