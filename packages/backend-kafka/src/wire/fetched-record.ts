import { ByteReader } from './byte-reader.ts';
import type { IncomingRecord, RecordHeader, RecordVisitor } from './message.ts';
import { isAt, strictTextAt, textAt } from './text.ts';

/** The partition that records were fetched from, and the bytes that they lie in. */
export interface FetchedBytes {
  readonly topic: string;
  readonly partition: number;
  readonly bytes: Buffer;
  /** Time from which the records count theirs, in ms since the epoch. */
  readonly firstTimestamp?: number;
  /** When the broker took all of them, where the topic wants that time. */
  readonly appendedAt?: number | undefined;
}

/** A record where it lies in what was fetched: read when somebody asks, for most of it nobody ever does. */
export class FetchedRecord implements IncomingRecord {
  readonly offset: number;
  readonly size: number;
  #fetched: FetchedBytes;
  /** Where its time is. */
  #start: number;
  /** Where the length of the key is, with the value and the headers behind it. */
  #at: number;

  /**
   * @param start where the record's time is.
   * @param at where the length of its key is.
   * @param end where it ends.
   */
  constructor(fetched: FetchedBytes, offset: number, start: number, at: number, end: number) {
    this.#fetched = fetched;
    this.offset = offset;
    this.size = end - at;
    this.#start = start;
    this.#at = at;
  }

  /** Takes its bytes out of those that were fetched with it, which it would keep in memory. */
  detach(): void {
    const { bytes, ...rest } = this.#fetched;
    const end = this.#at + this.size;
    if (bytes.length === end - this.#start) return;
    // Not of the pool, of which a slice keeps all.
    const own = Buffer.alloc(end - this.#start);
    bytes.copy(own, 0, this.#start, end);
    this.#fetched = { ...rest, bytes: own };
    this.#at -= this.#start;
    this.#start = 0;
  }

  get timestamp(): number {
    const { bytes, firstTimestamp = -1, appendedAt } = this.#fetched;
    if (appendedAt !== undefined || firstTimestamp < 0) return appendedAt ?? -1;
    return firstTimestamp + new ByteReader(bytes, this.#start).varlong();
  }

  get topic(): string {
    return this.#fetched.topic;
  }

  get partition(): number {
    return this.#fetched.partition;
  }

  get key(): Buffer | null {
    return cut(this.#from());
  }

  get value(): Buffer | null {
    const reader = this.#from();
    skip(reader);
    return cut(reader);
  }

  get headers(): Readonly<Record<string, RecordHeader>> {
    const headers: Record<string, RecordHeader> = Object.create(null);
    this.visit({
      value: () => undefined,
      header(name, bytes, start, end) {
        const value = end < start ? null : bytes.subarray(start, end);
        const before = headers[name];
        if (before === undefined) headers[name] = value;
        else headers[name] = Array.isArray(before) ? [...before, value] : [before, value];
      },
    });
    return headers;
  }

  /** The key as text, or byte by byte when it is none; `undefined` when there is no key. */
  get keyText(): string | undefined {
    const reader = this.#from();
    const length = reader.varint();
    if (length < 0) return undefined;
    const { bytes, at } = reader;
    return strictTextAt(bytes, at, at + length) ?? bytes.toString('latin1', at, at + length);
  }

  /** Text of a header with an ASCII name; the last one of them counts. */
  header(sought: string): string | undefined {
    const reader = this.#from();
    skip(reader);
    skip(reader);
    const { bytes } = reader;
    let found: string | undefined;
    for (let left = reader.varint(); left > 0 && reader.at < bytes.length; left -= 1) {
      const nameLength = reader.varint();
      const isSought = nameLength === sought.length && isAt(sought, bytes, reader.at);
      reader.at += nameLength;
      const length = reader.varint();
      if (isSought) found = length < 0 ? undefined : textAt(bytes, reader.at, reader.at + length);
      if (length > 0) reader.at += length;
    }
    return found;
  }

  visit(visitor: RecordVisitor): void {
    const reader = this.#from();
    const { bytes } = reader;
    skip(reader);
    const valueLength = reader.varint();
    visitor.value(bytes, reader.at, reader.at + valueLength);
    if (valueLength > 0) reader.at += valueLength;
    for (let left = reader.varint(); left > 0 && reader.at < bytes.length; left -= 1) {
      const nameLength = reader.varint();
      const name = textAt(bytes, reader.at, reader.at + nameLength);
      reader.at += nameLength;
      const length = reader.varint();
      visitor.header(name, bytes, reader.at, reader.at + length);
      if (length > 0) reader.at += length;
    }
  }

  #from(): ByteReader {
    return new ByteReader(this.#fetched.bytes, this.#at);
  }
}

function skip(reader: ByteReader): void {
  const length = reader.varint();
  if (length > 0) reader.at += length;
}

function cut(reader: ByteReader): Buffer | null {
  const length = reader.varint();
  return length < 0 ? null : reader.bytes.subarray(reader.at, reader.at + length);
}
