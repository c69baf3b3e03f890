/** A value that JSON has nothing for, and the keys that lead to it. */
export interface LostValue {
  readonly path: readonly PropertyKey[];
  readonly what: string;
}

/** What holds its content in no field of its own: `JSON.stringify` makes `{}` of it, of bytes an object of numbers. */
const opaque: ReadonlySet<string> = new Set([
  ...['Map', 'Set', 'WeakMap', 'WeakSet', 'WeakRef', 'Promise', 'Error', 'RegExp'],
  ...['ArrayBuffer', 'SharedArrayBuffer', 'DataView'],
]);

/**
 * Whether `JSON.stringify` may have put a `null` or an empty object in place of a value. Looking at its text costs a
 * fraction of what looking at the value costs; from its second letter `null` is found sooner, for `n` is frequent.
 */
export function mayHaveLost(text: string): boolean {
  return text.includes('ull') || text.includes('{}') || text.includes('{"0":');
}

/**
 * The first value that JSON has nothing for: `NaN`, a `bigint`, an invalid `Date`, a hole in a list, a `Map`. Fields
 * that are `undefined` or functions are none: JSON leaves them out, and so they are absent at the other end too.
 *
 * @throws RangeError for a value that is nested too deeply, or refers to itself.
 */
export function lostValue(value: unknown): LostValue | undefined {
  return lostIn(value, '', false);
}

function lostIn(value: unknown, key: string, isElement: boolean): LostValue | undefined {
  switch (typeof value) {
    case 'number':
      return Number.isFinite(value) ? undefined : { path: [], what: String(value) };
    case 'bigint':
      // Some applications give it one.
      return 'toJSON' in BigInt.prototype ? undefined : { path: [], what: 'a bigint' };
    case 'undefined':
    case 'function':
    case 'symbol':
      return isElement ? { path: [], what: typeof value } : undefined;
    case 'object':
      return value === null ? undefined : lostInObject(value, key, isElement);
    default:
      return undefined;
  }
}

function lostInObject(value: object, key: string, isElement: boolean): LostValue | undefined {
  const { toJSON } = value as { toJSON?: unknown };
  if (typeof toJSON === 'function') {
    const written: unknown = toJSON.call(value, key);
    if (written === null && value instanceof Date) return { path: [], what: 'an invalid Date' };
    return written === value ? lostInFields(value) : lostIn(written, key, isElement);
  }
  if (!Array.isArray(value)) return lostInFields(value);
  for (let index = 0; index < value.length; index += 1) {
    const lost = lostIn(value[index], String(index), true);
    if (lost !== undefined) return { ...lost, path: [index, ...lost.path] };
  }
  return undefined;
}

function lostInFields(value: object): LostValue | undefined {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) {
    const kind = Object.prototype.toString.call(value).slice('[object '.length, -1);
    if (opaque.has(kind) || ArrayBuffer.isView(value)) return { path: [], what: `of the class ${kind}` };
  }
  for (const key of Object.keys(value)) {
    const lost = lostIn((value as Record<string, unknown>)[key], key, false);
    if (lost !== undefined) return { ...lost, path: [key, ...lost.path] };
  }
  return undefined;
}
