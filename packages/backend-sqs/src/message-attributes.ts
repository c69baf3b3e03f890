/** Attribute that carries what fits into no attribute of its own: a JSON object of names and texts. */
export const packedHeaders = 'melange_headers';

/** SQS takes ten; SNS takes more, and drops what has more on its way to a queue with raw delivery. */
const mostAttributes = 10;

/** An attribute as both services take it. */
export interface AttributeValue {
  readonly DataType: string;
  readonly StringValue: string;
}

/** What is read of an attribute, of whichever type. */
export interface ReceivedAttribute {
  readonly StringValue?: string | undefined;
  readonly BinaryValue?: Uint8Array | undefined;
}

/** A header of ours on its way out: numbers are typed, for readers in other languages. */
export interface OutgoingHeader {
  readonly name: string;
  readonly value: string;
  readonly isNumber?: boolean;
}

/** Text of which SQS takes every character; others, and lone surrogates, it refuses. */
export function isCarriable(text: string): boolean {
  return /^[\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]*$/u.test(text);
}

/** Each header as an attribute under its own name, the first ones first; what SQS refuses or has no room for in one packed attribute. */
export function toAttributes(headers: readonly OutgoingHeader[]): Record<string, AttributeValue> {
  const own = headers.filter(fits);
  let packed = headers.filter((header) => !fits(header));
  const room = mostAttributes - (packed.length > 0 || own.length > mostAttributes ? 1 : 0);
  packed = [...own.splice(room), ...packed];
  const entries = own.map(({ name, value, isNumber }): [string, AttributeValue] => [
    name,
    { DataType: isNumber === true ? 'Number' : 'String', StringValue: value },
  ]);
  if (packed.length > 0) {
    const json = JSON.stringify(Object.fromEntries(packed.map(({ name, value }) => [name, value])));
    entries.push([packedHeaders, { DataType: 'String', StringValue: carriableJson(json) }]);
  }
  // Not by assignment: `__proto__` is a name like another.
  return Object.fromEntries(entries);
}

/** Every header, unpacked, as text. What is packed and unreadable stays an attribute like another. */
export function fromAttributes(
  attributes: Readonly<Record<string, ReceivedAttribute>> | undefined,
): Map<string, string> {
  const headers = new Map<string, string>();
  for (const [name, { StringValue, BinaryValue }] of Object.entries(attributes ?? {})) {
    const text = StringValue ?? (BinaryValue && Buffer.from(BinaryValue).toString('base64'));
    if (text !== undefined) headers.set(name, text);
  }
  const packed = unpack(headers.get(packedHeaders));
  if (packed === undefined) return headers;
  headers.delete(packedHeaders);
  for (const [name, value] of packed) headers.set(name, value);
  return headers;
}

/** Bytes that the attributes count for. */
export function sizeOfAttributes(attributes: Readonly<Record<string, AttributeValue>>): number {
  let bytes = 0;
  for (const [name, { DataType, StringValue }] of Object.entries(attributes))
    bytes += Buffer.byteLength(name) + Buffer.byteLength(DataType) + Buffer.byteLength(StringValue);
  return bytes;
}

/** JSON that means the same, of characters that SQS takes. */
export function carriableJson(json: string): string {
  return json.replace(/[\u007F\uD800-\uDFFF\uFFFE\uFFFF]/g, (unit) =>
    unit === '\u007F' ? unit : `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
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
