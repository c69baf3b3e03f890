import protobuf from 'protobufjs';

/**
 * Reads with a budget. Content of a few bytes can ask for objects of hundreds: two bytes are an empty message in
 * a list. Every field and every element has a tag, and counting tags bounds what decoding can take. Packed numbers
 * have none: those of 64 bits, each of which becomes an object, are counted by themselves; the others take no more
 * than some times the size of the content.
 */
export class BoundedReader extends protobuf.BufferReader {
  readonly #fieldsAllowed: number;
  #fields = 0;

  /** @param keepUnknown keeps fields that the type does not know, to be encoded again. */
  constructor(content: Uint8Array, fieldsAllowed: number, keepUnknown: boolean) {
    super(Buffer.from(content.buffer, content.byteOffset, content.byteLength));
    this.#fieldsAllowed = fieldsAllowed;
    this.discardUnknown = !keepUnknown;
  }

  override tag(): number {
    this.#count();
    return super.tag();
  }

  override int64(): protobuf.Long {
    this.#count();
    return super.int64();
  }

  override uint64(): protobuf.Long {
    this.#count();
    return super.uint64();
  }

  override sint64(): protobuf.Long {
    this.#count();
    return super.sint64();
  }

  override fixed64(): protobuf.Long {
    this.#count();
    return super.fixed64();
  }

  override sfixed64(): protobuf.Long {
    this.#count();
    return super.sfixed64();
  }

  /** Bytes of their own: a handler that changes them must not change the message that may still be dead-lettered. */
  override raw(start: number, end: number): Buffer {
    return new Uint8Array(this.buf.subarray(start, end)) as Buffer;
  }

  #count(): void {
    this.#fields += 1;
    if (this.#fields <= this.#fieldsAllowed) return;
    throw new RangeError(`more than ${this.#fieldsAllowed} fields; maxFields allows for more`);
  }
}
