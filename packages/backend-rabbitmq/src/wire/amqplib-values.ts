import { letter } from './amqp-encoding.ts';
import { elementsOf, nestedFieldsOf, textOfField } from './field-table.ts';

/*
 * Headers as amqplib gives and takes them. They are needed only where a version of amqplib does not let the bytes be
 * read or written past it.
 */

/** A value of a table as amqplib's `publish` takes it, of the same type and with all digits. */
export function amqplibValue(value: Buffer): unknown {
  switch (value[0]) {
    case letter.text:
      return value.toString('utf8', 5);
    case letter.bytes:
      return value.subarray(5);
    case letter.boolean:
      return value[1] !== 0;
    case letter.none:
      return null;
    case letter.array:
      return elementsOf(value).map(amqplibValue);
    case letter.table:
      return Object.fromEntries(
        nestedFieldsOf(value).map((field) => [field.name, amqplibValue(field.value)]),
      );
    case letter.timestamp:
      return { '!': 'timestamp', value: value.readBigUInt64BE(1) };
    case letter.int64:
      return { '!': 'int64', value: value.readBigInt64BE(1) };
    case letter.decimal:
      return { '!': 'decimal', value: { places: value[1], digits: value.readUInt32BE(2) } };
    case letter.float:
      return { '!': 'float', value: value.readFloatBE(1) };
    case letter.double:
      return { '!': 'double', value: value.readDoubleBE(1) };
    default:
      return { '!': integerTypes[value[0] as number], value: Number(textOfField(value)) };
  }
}

const integerTypes: Readonly<Record<number, string>> = {
  [letter.int8]: 'int8',
  [letter.uint8]: 'uint8',
  [letter.int16]: 'int16',
  [letter.uint16]: 'uint16',
  [letter.int32]: 'int32',
  [letter.uint32]: 'uint32',
};

/** A table of what amqplib has decoded. What cannot be written is left out, and named. */
export function tableOf(headers: Readonly<Record<string, unknown>>): {
  readonly table: Buffer;
  readonly dropped: readonly string[];
} {
  const entries: Buffer[] = [];
  const dropped: string[] = [];
  for (const name of Object.keys(headers)) {
    if (headers[name] === undefined) continue;
    try {
      entries.push(entryOf(name, headers[name]));
    } catch {
      dropped.push(name);
    }
  }
  return { table: Buffer.concat(entries), dropped };
}

/** @throws for a name of more than 255 bytes. */
export function entryOf(name: string, value: unknown): Buffer {
  return Buffer.concat([nameOf(name), fieldOf(value)]);
}

function nameOf(name: string): Buffer {
  const bytes = Buffer.from(name);
  if (bytes.length > 255) throw new TypeError(`the name of a header has ${bytes.length} bytes`);
  return Buffer.concat([Buffer.of(bytes.length), bytes]);
}

function fieldOf(value: unknown): Buffer {
  if (typeof value === 'string') return long(letter.text, Buffer.from(value));
  if (typeof value === 'boolean') return Buffer.of(letter.boolean, Number(value));
  if (typeof value === 'number' || typeof value === 'bigint') return numberField(value);
  if (value === null) return Buffer.of(letter.none);
  if (Buffer.isBuffer(value)) return long(letter.bytes, value);
  if (Array.isArray(value)) return long(letter.array, Buffer.concat(value.map(fieldOf)));
  if (typeof value !== 'object') throw new TypeError(`a header is of type ${typeof value}`);
  const typed = value as { readonly '!'?: unknown; readonly value?: unknown };
  if (typed['!'] === 'timestamp')
    return fixed(letter.timestamp, 8, (field) => field.writeBigUInt64BE(BigInt(typed.value as number), 1));
  if (typed['!'] === 'decimal') {
    const { places, digits } = typed.value as { places: number; digits: number };
    return fixed(letter.decimal, 5, (field) => field.writeUInt32BE(digits, field.writeUInt8(places, 1)));
  }
  const entries = Object.entries(value).map(([name, inner]) => entryOf(name, inner));
  return long(letter.table, Buffer.concat(entries));
}

function numberField(value: number | bigint): Buffer {
  if (typeof value === 'number' && !Number.isSafeInteger(value)) {
    return fixed(letter.double, 8, (field) => field.writeDoubleBE(value, 1));
  }
  return fixed(letter.int64, 8, (field) => field.writeBigInt64BE(BigInt(value), 1));
}

function fixed(type: number, size: number, write: (field: Buffer) => void): Buffer {
  const field = Buffer.alloc(1 + size);
  field[0] = type;
  write(field);
  return field;
}

function long(type: number, content: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head[0] = type;
  head.writeUInt32BE(content.length, 1);
  return Buffer.concat([head, content]);
}
