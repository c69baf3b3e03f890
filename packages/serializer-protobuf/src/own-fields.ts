import { isLong } from './long.ts';

/** As deep as protobufjs, and protoc, go. */
const deepest = 100;

/**
 * A value's own fields without anything inherited, for protobufjs would take a method or `Object.prototype`'s
 * `constructor` for a field of that name. Absent fields are left out.
 *
 * @throws RangeError when it is nested too deeply, or refers to itself.
 */
export function ownFields(value: unknown, depth = 0): unknown {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array || isLong(value))
    return value;
  if (depth > deepest) throw new RangeError('nested too deeply');
  if (Array.isArray(value)) return value.map((element) => ownFields(element, depth + 1));
  const fields = Object.create(null) as Record<string, unknown>;
  for (const [key, field] of Object.entries(value)) {
    if (field !== undefined && field !== null) fields[key] = ownFields(field, depth + 1);
  }
  return fields;
}
