/** Attribute that carries what fits into no attribute of its own: a JSON object of names and texts. */
export const packedHeaders = 'melange_headers';

/** SQS takes ten; SNS takes more, and drops what has more on its way to a queue with raw delivery. */
const mostAttributes = 10;

/** Name in the packed attribute under which are the types of what is packed there: a JSON object of names and types. */
const packedTypes = 'melange_types';

/** An attribute as both services take it: text, or bytes where its type is `Binary`. */
export interface AttributeValue {
  readonly DataType: string;
  readonly StringValue?: string;
  readonly BinaryValue?: Uint8Array;
}

/** What is read of an attribute, of whichever type. */
export interface ReceivedAttribute {
  readonly DataType?: string | undefined;
  readonly StringValue?: string | undefined;
  readonly BinaryValue?: Uint8Array | undefined;
}

/** A header on its way out. */
export interface OutgoingHeader {
  readonly name: string;
  /** Base64 where the type is one of bytes. */
  readonly value: string;
  /** Type of the attribute, such as `Number`, `Binary`, `String.label`. Default: `String`. */
  readonly dataType?: string | undefined;
}

/** A header as it was received. */
export interface IncomingHeader {
  /** What a handler sees: a number as its digits, bytes as base64. */
  readonly value: string;
  readonly dataType: string | undefined;
}

/** Bytes that are base64 in JSON, as SQS takes them: a request may be written without the SDK. */
class JsonBytes extends Uint8Array {
  toJSON(): string {
    return Buffer.from(this.buffer, this.byteOffset, this.byteLength).toString('base64');
  }
}

/** Text of which SQS takes every character; others, and lone surrogates, it refuses. */
export function isCarriable(text: string): boolean {
  return /^[\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]*$/u.test(text);
}

/** Headers of the W3C's trace context and baggage: more than one of them takes one attribute together. */
const traceHeaders: ReadonlySet<string> = new Set(['traceparent', 'tracestate', 'baggage']);

/** Each header as an attribute under its own name, the first ones first; what SQS refuses or has no room for in one packed attribute. */
export function toAttributes(headers: readonly OutgoingHeader[]): Record<string, AttributeValue> {
  const packsTrace = headers.filter(({ name }) => traceHeaders.has(name)).length > 1;
  const isOwn = (header: OutgoingHeader): boolean =>
    fits(header) && !(packsTrace && traceHeaders.has(header.name));
  const own = headers.filter(isOwn);
  let packed = headers.filter((header) => !isOwn(header));
  const room = mostAttributes - (packed.length > 0 || own.length > mostAttributes ? 1 : 0);
  packed = [...own.splice(room), ...packed];
  const entries = own.map(({ name, value, dataType = 'String' }): [string, AttributeValue] => [
    name,
    isBinary(dataType)
      ? { DataType: dataType, BinaryValue: new JsonBytes(Buffer.from(value, 'base64')) }
      : { DataType: dataType, StringValue: value },
  ]);
  if (packed.length > 0) {
    const texts = packed.map(({ name, value }): [string, string] => [name, value]);
    const types = packed.filter(({ dataType }) => isForeign(dataType));
    if (types.length > 0) {
      const byName = Object.fromEntries(types.map(({ name, dataType }) => [name, dataType]));
      texts.push([packedTypes, JSON.stringify(byName)]);
    }
    const json = JSON.stringify(Object.fromEntries(texts));
    entries.push([packedHeaders, { DataType: 'String', StringValue: carriableJson(json) }]);
  }
  // Not by assignment: `__proto__` is a name like another.
  return Object.fromEntries(entries);
}

/** Every header, unpacked. What is packed and unreadable stays an attribute like another. */
export function fromAttributes(
  attributes: Readonly<Record<string, ReceivedAttribute>> | undefined,
): Map<string, IncomingHeader> {
  const headers = new Map<string, IncomingHeader>();
  for (const [name, { DataType, StringValue, BinaryValue }] of Object.entries(attributes ?? {})) {
    const value = StringValue ?? (BinaryValue && Buffer.from(BinaryValue).toString('base64'));
    if (value !== undefined) headers.set(name, { value, dataType: DataType });
  }
  const packed = unpack(headers.get(packedHeaders)?.value);
  if (packed === undefined) return headers;
  headers.delete(packedHeaders);
  const types = new Map(unpack(packed.find(([name]) => name === packedTypes)?.[1]));
  for (const [name, value] of packed)
    if (name !== packedTypes) headers.set(name, { value, dataType: types.get(name) });
  return headers;
}

/** The attributes as they came, of the types that they came with. */
export function copyAttributes(
  attributes: Readonly<Record<string, ReceivedAttribute>> | undefined,
): Record<string, AttributeValue> {
  const entries = Object.entries(attributes ?? {}).map(
    ([name, { DataType = 'String', StringValue, BinaryValue }]): [string, AttributeValue] => [
      name,
      BinaryValue === undefined
        ? { DataType, StringValue: StringValue ?? '' }
        : { DataType, BinaryValue: new JsonBytes(BinaryValue) },
    ],
  );
  return Object.fromEntries(entries);
}

/** Whether the type says more than that the value is text. */
export function isForeign(dataType: string | undefined): dataType is string {
  return dataType !== undefined && dataType !== 'String';
}

/** Bytes that the attributes count for. */
export function sizeOfAttributes(attributes: Readonly<Record<string, AttributeValue>>): number {
  let bytes = 0;
  for (const [name, { DataType, StringValue = '', BinaryValue }] of Object.entries(attributes)) {
    bytes += Buffer.byteLength(name) + Buffer.byteLength(DataType) + Buffer.byteLength(StringValue);
    bytes += BinaryValue?.byteLength ?? 0;
  }
  return bytes;
}

/** JSON that means the same, of characters that SQS takes. */
export function carriableJson(json: string): string {
  return json.replace(/[\u007F\uD800-\uDFFF\uFFFE\uFFFF]/g, (unit) =>
    unit === '\u007F' ? unit : `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function isBinary(dataType: string): boolean {
  return /^Binary(\.|$)/.test(dataType);
}

function fits({ name, value }: OutgoingHeader): boolean {
  return (
    /^(?!aws\.|amazon\.|\.)[a-z0-9_.-]{1,256}$/i.test(name) &&
    !name.endsWith('.') &&
    !name.includes('..') &&
    name !== packedHeaders &&
    value !== '' &&
    isCarriable(value)
  );
}

function unpack(json: string | undefined): readonly [string, string][] | undefined {
  if (json === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(json);
    if (typeof value !== 'object' || value === null) return undefined;
    const entries = Object.entries(value);
    return entries.every((entry): entry is [string, string] => typeof entry[1] === 'string')
      ? entries
      : undefined;
  } catch {
    return undefined;
  }
}
