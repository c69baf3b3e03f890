import { letter, readUint32 } from './amqp-encoding.ts';

/** One entry of a table of AMQP 0-9-1. */
export interface Field {
  readonly name: string;
  /** The value with its type before it, as it came. */
  readonly value: Buffer;
  /** Name and value, as they came. */
  readonly entry: Buffer;
}

/** Bytes behind the type, for types of one size. */
const sizes: Readonly<Record<number, number>> = {
  [letter.boolean]: 1,
  [letter.none]: 0,
  [letter.int8]: 1,
  [letter.uint8]: 1,
  [letter.int16]: 2,
  [letter.uint16]: 2,
  [letter.int32]: 4,
  [letter.uint32]: 4,
  [letter.int64]: 8,
  [letter.float]: 4,
  [letter.double]: 8,
  [letter.decimal]: 5,
  [letter.timestamp]: 8,
};

/**
 * The entries of a table, in their order, a name that comes twice included.
 *
 * @param table the entries, without the length that is written before them.
 * @throws RangeError for a type that AMQP 0-9-1 and RabbitMQ do not have, and for a table that is cut off.
 */
export function fieldsOf(table: Buffer): Field[] {
  const fields: Field[] = [];
  let at = 0;
  while (at < table.length) {
    const value = at + 1 + (table[at] as number);
    const end = endOfField(table, value);
    const name = table.toString('utf8', at + 1, value);
    fields.push({ name, value: table.subarray(value, end), entry: table.subarray(at, end) });
    at = end;
  }
  return fields;
}

/**
 * A value as handlers see it: text as it is (bytes that are no UTF-8 are replaced), numbers and booleans as their text
 * with all digits, a timestamp (seconds since the epoch) in ISO 8601, bytes as base64, null as `null`, arrays and tables
 * as JSON of these, where numbers, booleans and null are JSON's own.
 */
export function textOfField(value: Buffer): string {
  switch (value[0]) {
    case letter.text:
      return value.toString('utf8', 5);
    case letter.bytes:
      return value.toString('base64', 5);
    case letter.timestamp:
      return textOfTime(value.readBigUInt64BE(1));
    case letter.array:
    case letter.table:
      return jsonOf(value);
    default:
      return plainTextOf(value);
  }
}

/** The number that a value is, or holds as text; `undefined` where it is none. */
export function numberOfField(value: Buffer): number | undefined {
  const text = textOfField(value);
  const number = text.trim() === '' ? Number.NaN : Number(text);
  return Number.isFinite(number) ? number : undefined;
}

/** Whether a value is AMQP's null. */
export function isNone(value: Buffer): boolean {
  return value[0] === letter.none;
}

/** The elements of an array, each with its type before it. */
export function elementsOf(array: Buffer): Buffer[] {
  const elements: Buffer[] = [];
  for (let at = 5; at < array.length; ) {
    const end = endOfField(array, at);
    elements.push(array.subarray(at, end));
    at = end;
  }
  return elements;
}

/** The entries of a table that is a value itself. */
export function nestedFieldsOf(table: Buffer): Field[] {
  return fieldsOf(table.subarray(5));
}

/** The place behind a value, which begins with its type. */
function endOfField(bytes: Buffer, at: number): number {
  const type = bytes[at] as number;
  const size = sizes[type];
  let end = size === undefined ? Number.NaN : at + 1 + size;
  if (type === letter.text || type === letter.bytes || type === letter.array || type === letter.table) {
    end = at + 5 + (bytes.length < at + 5 ? Number.NaN : readUint32(bytes, at + 1));
  }
  if (!(end <= bytes.length))
    throw new RangeError('a table of AMQP is cut off, or has a type that is not known');
  return end;
}

function plainTextOf(value: Buffer): string {
  switch (value[0]) {
    case letter.boolean:
      return value[1] === 0 ? 'false' : 'true';
    case letter.int8:
      return String(value.readInt8(1));
    case letter.uint8:
      return String(value[1]);
    case letter.int16:
      return String(value.readInt16BE(1));
    case letter.uint16:
      return String(value.readUInt16BE(1));
    case letter.int32:
      return String(value.readInt32BE(1));
    case letter.uint32:
      return String(value.readUInt32BE(1));
    case letter.int64:
      return String(value.readBigInt64BE(1));
    case letter.float:
      // As many digits as tell it from its neighbours among floats.
      return String(Number(value.readFloatBE(1).toPrecision(7)));
    case letter.double:
      return String(value.readDoubleBE(1));
    case letter.decimal:
      return textOfDecimal(value[1] as number, value.readInt32BE(2));
    default:
      return 'null';
  }
}

function jsonOf(value: Buffer): string {
  switch (value[0]) {
    case letter.array:
      return `[${elementsOf(value).map(jsonOf).join(',')}]`;
    case letter.table: {
      const entries = nestedFieldsOf(value).map(
        (field) => `${JSON.stringify(field.name)}:${jsonOf(field.value)}`,
      );
      return `{${entries.join(',')}}`;
    }
    case letter.text:
    case letter.bytes:
    case letter.timestamp:
      return JSON.stringify(textOfField(value));
    default: {
      const text = plainTextOf(value);
      // JSON has no such numbers.
      return /^(-?Infinity|NaN)$/.test(text) ? JSON.stringify(text) : text;
    }
  }
}

/** The digits alone for a time that no calendar has. */
function textOfTime(seconds: bigint): string {
  const time = new Date(Number(seconds) * 1_000);
  return Number.isNaN(time.getTime()) ? String(seconds) : time.toISOString();
}

function textOfDecimal(places: number, digits: number): string {
  if (places === 0) return String(digits);
  const text = String(Math.abs(digits)).padStart(places + 1, '0');
  const point = text.length - places;
  return `${digits < 0 ? '-' : ''}${text.slice(0, point)}.${text.slice(point)}`;
}
