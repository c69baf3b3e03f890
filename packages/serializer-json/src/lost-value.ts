import { hiddenContent, isPlain, shortened } from '@melange/core/adapter';
import { isLarge } from './large-integers.ts';

/** A value that JSON has nothing for, and the keys that lead to it. */
export interface LostValue {
  readonly path: readonly PropertyKey[];
  readonly what: string;
}

/** What arrives, besides what JSON itself carries. */
export interface Carried {
  /** Whether the value arrives as an instance of its class: then it may have what only the class gives it. */
  readonly isInstance: boolean;
  /** Whether `bigint`s beyond 2^53 arrive. */
  readonly carriesBigints: boolean;
}

/**
 * The first value that JSON has nothing for, or not all of it: `NaN`, a `bigint`, an invalid `Date`, a hole in a list, a
 * `Map`, an instance with a private field. Fields that are `undefined` or functions are none: JSON leaves them out, and
 * so they are absent at the other end too.
 *
 * @throws RangeError for a value that is nested too deeply, or refers to itself.
 */
export function lostValue(value: unknown, { isInstance, carriesBigints }: Carried): LostValue | undefined {
  return isInstance
    ? lostInObject(value as object, '', carriesBigints, true)
    : lostIn(value, '', false, carriesBigints);
}

function lostIn(
  value: unknown,
  key: string,
  isElement: boolean,
  carriesBigints: boolean,
): LostValue | undefined {
  switch (typeof value) {
    case 'number':
      return Number.isFinite(value) ? undefined : { path: [], what: String(value) };
    case 'bigint':
      return lostBigint(value, carriesBigints);
    case 'undefined':
    case 'function':
    case 'symbol':
      return isElement ? { path: [], what: typeof value } : undefined;
    case 'object':
      return value === null ? undefined : lostInObject(value, key, carriesBigints, false);
    default:
      return undefined;
  }
}

function lostBigint(value: bigint, carriesBigints: boolean): LostValue | undefined {
  // Some applications give it one.
  if ('toJSON' in BigInt.prototype) return undefined;
  if (!carriesBigints) return { path: [], what: 'a bigint' };
  return isLarge(value) ? undefined : { path: [], what: 'a bigint that would arrive as a number' };
}

function lostInObject(
  value: object,
  key: string,
  carriesBigints: boolean,
  isInstance: boolean,
): LostValue | undefined {
  const { toJSON } = value as { toJSON?: unknown };
  if (typeof toJSON === 'function') {
    if (toJSON === Date.prototype.toJSON && value instanceof Date) {
      return Number.isNaN(value.getTime()) ? { path: [], what: 'an invalid Date' } : undefined;
    }
    const written: unknown = toJSON.call(value, key);
    return written === value
      ? lostInFields(value, carriesBigints)
      : lostIn(written, key, false, carriesBigints);
  }
  if (Array.isArray(value)) return lostInList(value, carriesBigints);
  const prototype = Object.getPrototypeOf(value) as object | null;
  if (prototype !== Object.prototype && !isInstance && !isPlain(prototype)) {
    const hidden = hiddenContent(value);
    if (hidden !== undefined) return { path: [], what: whatIs(value, hidden) };
  }
  return lostInFields(value, carriesBigints);
}

function lostInList(list: readonly unknown[], carriesBigints: boolean): LostValue | undefined {
  for (let index = 0; index < list.length; index += 1) {
    const lost = lostIn(list[index], String(index), true, carriesBigints);
    if (lost !== undefined) return { ...lost, path: [index, ...lost.path] };
  }
  return undefined;
}

function lostInFields(value: object, carriesBigints: boolean): LostValue | undefined {
  for (const key of Object.keys(value)) {
    const lost = lostIn((value as Record<string, unknown>)[key], key, false, carriesBigints);
    if (lost !== undefined) return { ...lost, path: [key, ...lost.path] };
  }
  return undefined;
}

function whatIs(value: object, hidden: string): string {
  const prototype = Object.getPrototypeOf(value) as object;
  const type: unknown = Object.getOwnPropertyDescriptor(prototype, 'constructor')?.value;
  const isClass = typeof type === 'function' && type.name !== '';
  // An iterator has no class, but a tag.
  const name = isClass ? type.name : Object.prototype.toString.call(value).slice('[object '.length, -1);
  return `of the class ${shortened(name)}${hidden === '' ? '' : `, ${shortened(hidden)}`}`;
}
