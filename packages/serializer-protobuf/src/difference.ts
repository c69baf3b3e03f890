import { hiddenContent } from '@melange/core/adapter';
import { isLong, keysInText, wholeNumber } from './long.ts';

/** Whether protobufjs made an object: it reads more from it than its own fields. */
export type IsNative = (value: object) => boolean;

/**
 * The way to the first field that would not arrive as it was sent, or `undefined` when all do: an unknown field,
 * a number out of its range, text where a number belongs, two members of a oneof, an object that hides something.
 *
 * @param sent a message, whose class is known.
 * @param arrived with 64-bit integers as `bigint`: they may be sent in any form. 32-bit floats keep what they can.
 */
export function difference(sent: object, arrived: object, isNative: IsNative): PropertyKey[] | undefined {
  // A Date or a Map has its value where no field shows it.
  if (Object.prototype.toString.call(sent) !== '[object Object]') return [];
  for (const [key, field] of Object.entries(sent)) {
    if (field === undefined || field === null) continue;
    const found = [key, ...keysInText(key)].find((candidate) => Object.hasOwn(arrived, candidate));
    if (found === undefined) return [key];
    const path = differenceOfValues(field, arrived[found as never], isNative);
    if (path !== undefined) return [key, ...path];
  }
  return undefined;
}

function differenceOfValues(sent: unknown, arrived: unknown, isNative: IsNative): PropertyKey[] | undefined {
  if (typeof sent !== 'object' || sent === null || isLong(sent)) {
    return isSameScalar(sent, arrived) ? undefined : [];
  }
  if (typeof arrived !== 'object' || arrived === null) return [];
  if (sent instanceof Uint8Array || arrived instanceof Uint8Array) {
    return isSameBytes(sent, arrived) ? undefined : [];
  }
  if (Array.isArray(sent) || Array.isArray(arrived)) return differenceOfLists(sent, arrived, isNative);
  return !isNative(sent) && hiddenContent(sent) !== undefined ? [] : difference(sent, arrived, isNative);
}

function differenceOfLists(sent: unknown, arrived: unknown, isNative: IsNative): PropertyKey[] | undefined {
  if (!Array.isArray(sent) || !Array.isArray(arrived) || sent.length !== arrived.length) return [];
  for (let index = 0; index < sent.length; index += 1) {
    const path = differenceOfValues(sent[index], arrived[index], isNative);
    if (path !== undefined) return [index, ...path];
  }
  return undefined;
}

function isSameScalar(sent: unknown, arrived: unknown): boolean {
  if (sent === arrived || Object.is(sent, arrived)) return true;
  if (typeof arrived === 'bigint') return wholeNumber(sent) === arrived;
  return typeof sent === 'number' && typeof arrived === 'number' && Object.is(Math.fround(sent), arrived);
}

function isSameBytes(sent: object, arrived: object): boolean {
  if (!(sent instanceof Uint8Array) || !(arrived instanceof Uint8Array)) return false;
  return Buffer.compare(sent, arrived) === 0;
}
