/**
 * Bytes as text, one character for each: texts are joined, cut and compared without a call out of JavaScript, where a buffer
 * needs one for each field.
 */
export type ByteText = string;

/** The bytes of a buffer. */
export function fromBytes(buffer: Buffer): ByteText {
  return buffer.toString('latin1');
}

/** The bytes of a text, in UTF-8. */
export function bytesOf(text: string): ByteText {
  return isAscii(text) ? text : fromBytes(Buffer.from(text));
}

/** The text of bytes in UTF-8; what is none becomes U+FFFD. */
export function textOf(bytes: ByteText): string {
  return isAscii(bytes) ? bytes : Buffer.from(bytes, 'latin1').toString();
}

/** Whether text and bytes are the same. */
export function isAscii(text: string | ByteText): boolean {
  return Buffer.byteLength(text) === text.length;
}

/** A string of MessagePack, as `cmsgpack` of Redis's scripts reads it. */
export function packedString(bytes: ByteText): ByteText {
  const { length } = bytes;
  return (length < 32 ? String.fromCharCode(0xa0 | length) : `\xdb${fourBytes(length)}`) + bytes;
}

/** What a list of MessagePack begins with. */
export function packedList(length: number): ByteText {
  return `\xdd${fourBytes(length)}`;
}

/** Bytes of the length that follows a head, from 0xd9: strings of three sizes, then lists of two. */
const lengthBytes = [1, 2, 4, 2, 4] as const;

/** Every string of a MessagePack of strings and lists, in order, whichever list it is in. */
export function unpackedStrings(packed: ByteText): ByteText[] {
  const strings: ByteText[] = [];
  for (let at = 0; at < packed.length; ) {
    const head = packed.charCodeAt(at);
    at += 1;
    let length = head & 0x1f;
    if (head >= 0xd9) {
      length = 0;
      for (let left = lengthBytes[head - 0xd9] ?? 0; left > 0; left -= 1, at += 1)
        length = length * 256 + packed.charCodeAt(at);
    }
    const isList = head < 0xa0 || head >= 0xdc;
    if (isList) continue;
    strings.push(packed.slice(at, at + length));
    at += length;
  }
  return strings;
}

function fourBytes(value: number): ByteText {
  return String.fromCharCode(value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff);
}
