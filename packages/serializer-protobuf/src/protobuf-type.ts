import type protobuf from 'protobufjs';

/** How fields appear in values. */
export interface FieldForms {
  /** How 64-bit integers appear. */
  readonly longs: 'bigint' | 'string';
  /** How values of an enum appear. */
  readonly enums: 'number' | 'name';
}

/** One message type, whichever way protobufjs came to know it. */
export interface ProtobufType {
  /** Fully qualified, without a leading dot: `shop.v1.OrderPlaced`. */
  readonly name: string;
  /** Prototype of the instances that protobufjs makes of it. */
  readonly prototype: object;
  /** @param message an instance, or plain fields. */
  encode(message: object): Uint8Array;
  /** An instance of protobufjs. */
  decode(reader: protobuf.Reader): object;
  /** Plain fields of an instance, defaults included. */
  fieldsOf(instance: object, forms: FieldForms): Record<string, unknown>;
}

/** What protobufjs puts on reflected types and on the classes of static modules alike. */
export interface ProtobufCodec {
  encode(message: object): { finish(): Uint8Array };
  decode(reader: protobuf.Reader): object;
  fromObject(fields: object): object;
  toObject(instance: object, options?: protobuf.IConversionOptions): Record<string, unknown>;
}

/** Gives a codec of protobufjs its name. */
export function protobufType(name: string, codec: ProtobufCodec, prototype: object): ProtobufType {
  return {
    name,
    prototype,
    // A copy, for protobufjs writes into a pool that many messages share.
    encode: (message) => new Uint8Array(codec.encode(codec.fromObject(message)).finish()),
    decode: (reader) => codec.decode(reader),
    fieldsOf: (instance, { longs, enums }) =>
      withoutNulls(
        codec.toObject(instance, {
          defaults: true,
          longs: longs === 'bigint' ? BigInt : String,
          ...(enums === 'name' ? { enums: String } : {}),
        }),
      ),
  };
}

/** Absent messages are `null` to protobufjs; here they are absent, as in JSON. Bytes are Uint8Arrays, not Buffers. */
function withoutNulls<Fields extends object>(fields: Fields): Fields {
  // The elements of a list are of one kind, and numbers can be many.
  if (Array.isArray(fields) && typeof fields[0] !== 'object') return fields;
  for (const key of Object.keys(fields) as (keyof Fields)[]) {
    const value: unknown = fields[key];
    if (value === null) delete fields[key];
    else if (Buffer.isBuffer(value)) define(fields, key, new Uint8Array(value));
    else if (typeof value === 'object' && !(value instanceof Uint8Array)) withoutNulls(value);
  }
  return fields;
}

/** Not by assignment: a key may be `__proto__`. */
function define(fields: object, key: PropertyKey, value: unknown): void {
  Object.defineProperty(fields, key, { value, writable: true, enumerable: true, configurable: true });
}
