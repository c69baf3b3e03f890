/** Writes numbers as Kafka reads them, one after the other, into bytes that are large enough. */
export class ByteWriter {
  readonly bytes: Buffer;
  /** Where the next number goes. */
  at = 0;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  int8(value: number): void {
    this.at = this.bytes.writeInt8(value, this.at);
  }

  int16(value: number): void {
    this.at = this.bytes.writeInt16BE(value, this.at);
  }

  int32(value: number): void {
    this.at = this.bytes.writeInt32BE(value, this.at);
  }

  int64(value: bigint): void {
    this.at = this.bytes.writeBigInt64BE(value, this.at);
  }

  /** Preceded by its length, of 16 bits. */
  text(value: string): void {
    this.int16(Buffer.byteLength(value));
    this.at += this.bytes.write(value, this.at);
  }

  /** Of at most 31 bits: zigzag, seven bits a byte. */
  varint(value: number): void {
    let rest = (value << 1) ^ (value >> 31);
    while (rest > 0x7f) {
      this.bytes[this.at] = (rest & 0x7f) | 0x80;
      this.at += 1;
      rest >>>= 7;
    }
    this.bytes[this.at] = rest;
    this.at += 1;
  }

  raw(value: Uint8Array): void {
    this.bytes.set(value, this.at);
    this.at += value.length;
  }

  /** Preceded by its length; -1 for none. */
  chunk(value: Uint8Array | null): void {
    this.varint(value?.length ?? -1);
    if (value !== null) this.raw(value);
  }
}

/** Bytes that `ByteWriter.varint` writes. */
export function varintSize(value: number): number {
  const zigzag = ((value << 1) ^ (value >> 31)) >>> 0;
  if (zigzag < 0x80) return 1;
  if (zigzag < 0x4000) return 2;
  if (zigzag < 0x20_0000) return 3;
  return zigzag < 0x1000_0000 ? 4 : 5;
}
