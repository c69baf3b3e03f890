import protobuf from 'protobufjs';

/**
 * Reads with a budget. Content of a few bytes can ask for objects of hundreds: two bytes are an empty message in
 * a list. Every field and every element has a tag, so counting tags bounds what decoding can take; packed numbers
 * have none, and are bounded by the size of the content.
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
    this.#fields += 1;
    if (this.#fields > this.#fieldsAllowed) {
      throw new RangeError(`more than ${this.#fieldsAllowed} fields; maxFields allows for more`);
    }
    return super.tag();
  }

  /** Bytes of their own: a handler that changes them must not change the message that may still be dead-lettered. */
  override raw(start: number, end: number): Buffer {
    return new Uint8Array(this.buf.subarray(start, end)) as Buffer;
  }
}
