import { readUint16, readUint32 } from './amqp-encoding.ts';

/*
 * The properties of another client's message: a copy that is retried or dead-lettered keeps them, byte for byte.
 */

/** Properties as amqplib has read them. */
export interface DecodedProperties {
  readonly headers?: Readonly<Record<string, unknown>> | undefined;
  readonly contentType?: string;
  readonly contentEncoding?: string;
  readonly messageId?: string;
  readonly [name: string]: unknown;
}

/** What a copy keeps, in the order of AMQP 0-9-1, each as it came. */
export interface ForeignProperties {
  /** Bits that say which there are. */
  readonly flags: number;
  readonly beforeHeaders: Buffer;
  readonly beforeMessageId: Buffer;
  readonly afterMessageId: Buffer;
  /** As amqplib has read them, for a version of it that does not let bytes be written past it. */
  readonly decoded: DecodedProperties;
  /** Names of properties that a copy cannot have. */
  readonly dropped: readonly string[];
}

/** What a frame of properties holds. */
export interface RawProperties {
  readonly foreign: ForeignProperties;
  /** The entries of the headers. */
  readonly headers: Buffer;
}

type Size = 'short text' | 'byte' | 'time' | 'table';
type Part = 'beforeHeaders' | 'beforeMessageId' | 'afterMessageId';
interface Property {
  readonly name: string;
  readonly flag: number;
  readonly size: Size;
  /** Where a copy has it, if it keeps it. */
  readonly part?: Part;
}

/**
 * In the order of AMQP. A copy has a delivery mode, a message id and headers of its own. It does not expire, and does
 * not claim to come from the user of another connection, which the broker would refuse.
 */
const properties: readonly Property[] = [
  { name: 'contentType', flag: 0x8000, size: 'short text', part: 'beforeHeaders' },
  { name: 'contentEncoding', flag: 0x4000, size: 'short text', part: 'beforeHeaders' },
  { name: 'headers', flag: 0x2000, size: 'table' },
  { name: 'deliveryMode', flag: 0x1000, size: 'byte' },
  { name: 'priority', flag: 0x0800, size: 'byte', part: 'beforeMessageId' },
  { name: 'correlationId', flag: 0x0400, size: 'short text', part: 'beforeMessageId' },
  { name: 'replyTo', flag: 0x0200, size: 'short text', part: 'beforeMessageId' },
  { name: 'expiration', flag: 0x0100, size: 'short text' },
  { name: 'messageId', flag: 0x0080, size: 'short text' },
  { name: 'timestamp', flag: 0x0040, size: 'time', part: 'afterMessageId' },
  { name: 'type', flag: 0x0020, size: 'short text', part: 'afterMessageId' },
  { name: 'userId', flag: 0x0010, size: 'short text' },
  { name: 'appId', flag: 0x0008, size: 'short text', part: 'afterMessageId' },
  { name: 'clusterId', flag: 0x0004, size: 'short text' },
];

/** Which properties there are. */
export const flagOf = {
  contentType: 0x8000,
  contentEncoding: 0x4000,
  headers: 0x2000,
  deliveryMode: 0x1000,
  messageId: 0x0080,
} as const;

/** Headers, delivery mode and message id, which every message of ours has. */
export const ownFlags: number = flagOf.headers | flagOf.deliveryMode | flagOf.messageId;

/** @param payload flags and properties of a frame, whole. */
export function rawProperties(payload: Buffer, decoded: DecodedProperties): RawProperties {
  const parts: Record<Part, Buffer[]> = { beforeHeaders: [], beforeMessageId: [], afterMessageId: [] };
  const present = readUint16(payload, 0);
  let flags = 0;
  let headers: Buffer = Buffer.alloc(0);
  let at = 2;
  for (const { flag, size, part } of properties) {
    if ((present & flag) === 0) continue;
    const end = at + sizeOf(payload, at, size);
    if (size === 'table') headers = payload.subarray(at + 4, end);
    if (part !== undefined) {
      parts[part].push(payload.subarray(at, end));
      flags |= flag;
    }
    at = end;
  }
  return { headers, foreign: { ...joined(parts), flags, decoded, dropped: [] } };
}

/** The same of what amqplib has decoded; what cannot be written is left out, and named. */
export function encodedProperties(decoded: DecodedProperties): ForeignProperties {
  const parts: Record<Part, Buffer[]> = { beforeHeaders: [], beforeMessageId: [], afterMessageId: [] };
  const dropped: string[] = [];
  let flags = 0;
  for (const { name, flag, size, part } of properties) {
    const value = decoded[name];
    if (part === undefined || value === undefined) continue;
    const bytes = propertyBytes(value, size);
    if (bytes === undefined) dropped.push(name);
    else {
      parts[part].push(bytes);
      flags |= flag;
    }
  }
  return { ...joined(parts), flags, decoded, dropped };
}

/** Properties for amqplib's `publish`, and the names of those that it cannot write. */
export function publishableProperties({ decoded }: ForeignProperties): {
  readonly kept: Readonly<Record<string, unknown>>;
  readonly dropped: readonly string[];
} {
  const kept: Record<string, unknown> = {};
  const dropped: string[] = [];
  for (const { name, size, part } of properties) {
    const value = decoded[name];
    if (part === undefined || value === undefined) continue;
    if (propertyBytes(value, size) === undefined) dropped.push(name);
    else kept[name] = value;
  }
  return { kept, dropped };
}

function propertyBytes(value: unknown, size: Size): Buffer | undefined {
  if (size === 'byte') return Buffer.of(Number(value));
  if (size === 'time') {
    // amqplib reads it as a number, which is not the one that came where it is no safe one.
    if (!Number.isSafeInteger(value) || (value as number) < 0) return undefined;
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64BE(BigInt(value as number));
    return bytes;
  }
  const text = Buffer.from(String(value));
  return text.length > 255 ? undefined : Buffer.concat([Buffer.of(text.length), text]);
}

function sizeOf(payload: Buffer, at: number, size: Size): number {
  if (size === 'byte') return 1;
  if (size === 'time') return 8;
  return size === 'table' ? 4 + readUint32(payload, at) : 1 + (payload[at] as number);
}

function joined(parts: Record<Part, Buffer[]>): Pick<ForeignProperties, Part> {
  return {
    beforeHeaders: Buffer.concat(parts.beforeHeaders),
    beforeMessageId: Buffer.concat(parts.beforeMessageId),
    afterMessageId: Buffer.concat(parts.afterMessageId),
  };
}
