/*
 * Fields of AMQP 0-9-1, each written at a place in bytes that have room for it, which answers with the place behind.
 */

/** Frames of AMQP 0-9-1, as far as messages are made of them. */
export const frameType = { method: 1, header: 2, body: 3 } as const;
/** Type, channel and size, before the payload. */
export const frameHead = 7;
/** The byte behind the payload. */
export const frameEnd = 0xce;
/** Number of the class that publishes and delivers. */
export const basicClass = 60;

/** Most that a character takes in UTF-8. */
export const bytesOfCharacter = 3;

export function writeUint16(bytes: Buffer, at: number, value: number): number {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
  return at + 2;
}

export function writeUint32(bytes: Buffer, at: number, value: number): number {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
  return at + 4;
}

/** @throws TypeError for more than 255 bytes. */
export function writeShortText(bytes: Buffer, at: number, text: string): number {
  const length = bytes.write(text, at + 1);
  if (length > 255) throw new TypeError(`"${text.slice(0, 40)}…" has ${length} bytes, of 255 at most`);
  bytes[at] = length;
  return at + 1 + length;
}

export function writeLongText(bytes: Buffer, at: number, text: string): number {
  const length = bytes.write(text, at + 4);
  writeUint32(bytes, at, length);
  return at + 4 + length;
}

/**
 * A value of a table: text, or whichever type a client took for a number, a boolean or `null`.
 *
 * @throws TypeError for any other, and for a number that is none.
 */
export function writeFieldValue(bytes: Buffer, at: number, value: unknown): number {
  if (typeof value === 'string') {
    bytes[at] = letter.text;
    return writeLongText(bytes, at + 1, value);
  }
  if (typeof value === 'number') return writeNumber(bytes, at, value);
  if (typeof value === 'boolean') {
    bytes[at] = letter.boolean;
    bytes[at + 1] = Number(value);
    return at + 2;
  }
  if (value !== null) throw new TypeError(`a header is no text, but of type ${typeof value}`);
  bytes[at] = letter.none;
  return at + 1;
}

/** How a table tells the types of its values. */
export const letter = {
  text: 0x53, // S
  boolean: 0x74, // t
  none: 0x56, // V
  double: 0x64, // d
  int8: 0x62, // b
  int16: 0x73, // s
  int32: 0x49, // I
  int64: 0x6c, // l
  uint8: 0x42, // B
  uint16: 0x75, // u
  uint32: 0x69, // i
  float: 0x66, // f
  decimal: 0x44, // D
  timestamp: 0x54, // T
  bytes: 0x78, // x
  array: 0x41, // A
  table: 0x46, // F
} as const;

/** In as few bytes as it takes: readers take any type of number for any other. */
function writeNumber(bytes: Buffer, at: number, value: number): number {
  if (!Number.isFinite(value)) throw new TypeError(`a header is ${value}`);
  if (!Number.isSafeInteger(value)) {
    bytes[at] = letter.double;
    return bytes.writeDoubleBE(value, at + 1);
  }
  if (value >= -0x80 && value < 0x80) {
    bytes[at] = letter.int8;
    bytes[at + 1] = value;
    return at + 2;
  }
  if (value >= -0x8000 && value < 0x8000) {
    bytes[at] = letter.int16;
    return writeUint16(bytes, at + 1, value);
  }
  if (value >= -0x80000000 && value < 0x80000000) {
    bytes[at] = letter.int32;
    return writeUint32(bytes, at + 1, value);
  }
  bytes[at] = letter.int64;
  return writeUint32(bytes, writeUint32(bytes, at + 1, Math.floor(value / 0x100000000)), value);
}

export function readUint32(bytes: Buffer, at: number): number {
  // A shift would make the first bit a sign.
  return (
    (bytes[at] as number) * 0x1000000 +
    (((bytes[at + 1] as number) << 16) | ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number))
  );
}

export function readUint16(bytes: Buffer, at: number): number {
  return ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
}

/** Bytes of their own, of which `write` says where they end. */
export function encoded(longest: number, write: (bytes: Buffer) => number): Buffer {
  const bytes = Buffer.alloc(longest);
  return Buffer.from(bytes.subarray(0, write(bytes)));
}
