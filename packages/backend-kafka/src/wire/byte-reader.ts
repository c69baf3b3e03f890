/** Reads numbers as Kafka writes them, one after the other. */
export class ByteReader {
  readonly bytes: Buffer;
  /** Where the next number begins. */
  at: number;

  constructor(bytes: Buffer, at = 0) {
    this.bytes = bytes;
    this.at = at;
  }

  int16(): number {
    this.at += 2;
    return this.bytes.readInt16BE(this.at - 2);
  }

  int32(): number {
    this.at += 4;
    return this.bytes.readInt32BE(this.at - 4);
  }

  /** Exact up to 2^53, which no offset reaches. */
  int64(): number {
    this.at += 8;
    return this.bytes.readInt32BE(this.at - 8) * 0x1_0000_0000 + this.bytes.readUInt32BE(this.at - 4);
  }

  /** Preceded by its length, of 16 bits. */
  text(): string {
    const length = this.int16();
    this.at += length;
    return this.bytes.toString('utf8', this.at - length, this.at);
  }

  /** Of at most 32 bits: zigzag, seven bits a byte. */
  varint(): number {
    const { bytes } = this;
    let byte = bytes[this.at] as number;
    this.at += 1;
    let number = byte & 0x7f;
    for (let shift = 7; byte >= 0x80; shift += 7) {
      byte = bytes[this.at] as number;
      this.at += 1;
      number |= (byte & 0x7f) << shift;
    }
    return (number >>> 1) ^ -(number & 1);
  }

  /** As `varint`, of at most 64 bits. Exact up to 2^52. */
  varlong(): number {
    let number = 0;
    let byte: number;
    let factor = 1;
    do {
      byte = this.bytes[this.at] as number;
      this.at += 1;
      number += (byte & 0x7f) * factor;
      factor *= 0x80;
    } while (byte >= 0x80);
    return number % 2 === 0 ? number / 2 : -(number + 1) / 2;
  }

  skipVarint(): void {
    while ((this.bytes[this.at] as number) >= 0x80) this.at += 1;
    this.at += 1;
  }
}
