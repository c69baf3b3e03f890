import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

/** A header as it is on the wire: its type is AMQP's letter, and a name may come twice. */
export type RawHeader = readonly [
  name: string,
  type: 'S' | 'I' | 'V' | 't' | 'd' | 'x' | 'b' | 's' | 'l' | 'T' | 'D' | 'A' | 'F' | 'f' | 'B' | 'u' | 'i',
  value: Uint8Array,
];

/** What another client puts into a message. */
export interface RawMessage {
  readonly body: Uint8Array;
  readonly headers?: readonly RawHeader[];
  readonly contentType?: string;
  readonly contentEncoding?: string;
  readonly messageId?: string;
  readonly timestamp?: bigint;
}

const endOfFrame = 0xce;
const frameType = { method: 1, header: 2, body: 3 } as const;
const bytesOfBodyFrame = 100_000;

/**
 * Publishes to a queue with frames written by hand, because a client library would put right, or refuse, what some
 * other client sends. Resolves when the broker has confirmed them: of a channel that closes before, a quorum queue may
 * take the first message and never the others.
 */
export async function publishRaw(url: string, queue: string, messages: readonly RawMessage[]): Promise<void> {
  await onChannel(url, async (socket, next) => {
    const answer = reader(next);
    socket.write(method(1, 85, 10, Buffer.of(0)));
    await answer(85, 11);
    for (const message of messages) for (const frame of framesOf(queue, message)) socket.write(frame);
    const unconfirmed = new Set(messages.map((_, index) => index + 1));
    while (unconfirmed.size > 0) {
      const confirmation = await answer(60, 80);
      const tag = Number(confirmation.uint64());
      const isMultiple = confirmation.bytes(1)[0] === 1;
      for (const one of unconfirmed) if (one === tag || (isMultiple && one < tag)) unconfirmed.delete(one);
    }
  });
}

/** A message as the broker gives it to a client, nothing of it interpreted. */
export interface ReceivedRaw {
  readonly exchange: string;
  readonly routingKey: string;
  readonly body: Buffer;
  /** As they come: those before `headers`, the headers, those after. */
  readonly contentType: string | undefined;
  readonly headers: readonly RawHeader[];
  readonly deliveryMode: number | undefined;
  readonly messageId: string | undefined;
  readonly contentEncoding: string | undefined;
  readonly timestamp: bigint | undefined;
  /** Names of whichever properties there are besides. */
  readonly others: readonly string[];
}

/** Takes so many messages out of a queue, acknowledged. */
export async function getRaw(url: string, queue: string, count: number): Promise<ReceivedRaw[]> {
  const found: ReceivedRaw[] = [];
  await onChannel(url, async (socket, next) => {
    while (found.length < count) {
      socket.write(method(1, 60, 70, uint16(0), short(queue), Buffer.of(1)));
      const answer = new Cursor((await next(frameType.method)).subarray(2));
      if (answer.uint16() !== 71) throw new Error(`${found.length} of ${count} are in the queue`);
      answer.skip(9);
      const [exchange, routingKey] = [answer.short(), answer.short()];
      const header = new Cursor(await next(frameType.header));
      header.skip(4);
      const size = Number(header.uint64());
      const properties = propertiesOf(header);
      let body = Buffer.alloc(0);
      while (body.length < size) body = Buffer.concat([body, await next(frameType.body)]);
      found.push({ exchange, routingKey, body, ...properties });
    }
  });
  return found;
}

/** In the order of their flags, from the highest. */
const propertyNames = [
  ...['contentType', 'contentEncoding', 'headers', 'deliveryMode', 'priority', 'correlationId', 'replyTo'],
  ...['expiration', 'messageId', 'timestamp', 'type', 'userId', 'appId', 'clusterId'],
] as const;

function propertiesOf(cursor: Cursor): Omit<ReceivedRaw, 'exchange' | 'routingKey' | 'body'> {
  const flags = cursor.uint16();
  const present = propertyNames.filter((_, index) => (flags & (0x8000 >> index)) !== 0);
  const values = new Map<string, string | number | bigint | RawHeader[]>();
  for (const name of present) {
    if (name === 'headers') values.set(name, headersOf(cursor));
    else if (name === 'deliveryMode' || name === 'priority') values.set(name, cursor.bytes(1)[0] ?? 0);
    else if (name === 'timestamp') values.set(name, cursor.uint64());
    else values.set(name, cursor.short());
  }
  const known = ['contentType', 'contentEncoding', 'headers', 'deliveryMode', 'messageId', 'timestamp'];
  return {
    contentType: values.get('contentType') as string | undefined,
    headers: (values.get('headers') ?? []) as RawHeader[],
    deliveryMode: values.get('deliveryMode') as number | undefined,
    messageId: values.get('messageId') as string | undefined,
    contentEncoding: values.get('contentEncoding') as string | undefined,
    timestamp: values.get('timestamp') as bigint | undefined,
    others: present.filter((name) => !known.includes(name)),
  };
}

const fixedSizes: Readonly<Record<string, number>> = {
  ...{ b: 1, B: 1, s: 2, u: 2, I: 4, i: 4, l: 8, d: 8, f: 4, T: 8, D: 5, t: 1, V: 0 },
};

function headersOf(cursor: Cursor): RawHeader[] {
  const end = cursor.uint32() + cursor.at;
  const headers: RawHeader[] = [];
  while (cursor.at < end) {
    const name = cursor.short();
    const type = cursor.bytes(1).toString('latin1') as RawHeader[1];
    const size = fixedSizes[type] ?? cursor.uint32();
    headers.push([name, type, cursor.bytes(size)]);
  }
  return headers;
}

class Cursor {
  at = 0;
  readonly #bytes: Buffer;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  bytes(length: number): Buffer {
    this.at += length;
    return this.#bytes.subarray(this.at - length, this.at);
  }

  skip(length: number): void {
    this.at += length;
  }

  uint16(): number {
    return this.bytes(2).readUInt16BE();
  }

  uint32(): number {
    return this.bytes(4).readUInt32BE();
  }

  uint64(): bigint {
    return this.bytes(8).readBigUInt64BE();
  }

  short(): string {
    return this.bytes(this.bytes(1)[0] ?? 0).toString();
  }
}

/** Opens a connection and a channel, and closes them when the work on them is done: the broker has all of it then. */
async function onChannel(
  url: string,
  work: (socket: Socket, next: (type: number) => Promise<Buffer>) => Promise<void>,
): Promise<void> {
  const { hostname, port, username, password, pathname } = new URL(url);
  const socket = connect(Number(port || 5672), hostname);
  try {
    const next = frames(socket);
    const answer = reader(next);
    const user = [username || 'guest', password || 'guest'].map(decodeURIComponent);
    socket.write(Buffer.from('AMQP\u0000\u0000\u0009\u0001', 'latin1'));
    await answer(10, 10);
    const response = long(Buffer.from(`\u0000${user.join('\u0000')}`));
    socket.write(method(0, 10, 11, long(Buffer.alloc(0)), short('PLAIN'), response, short('en_US')));
    await answer(10, 30);
    socket.write(method(0, 10, 31, uint16(1), uint32(131_072), uint16(0)));
    const host = decodeURIComponent(pathname.slice(1)) || '/';
    socket.write(method(0, 10, 40, short(host), short(''), Buffer.of(0)));
    await answer(10, 41);
    socket.write(method(1, 20, 10, short('')));
    await answer(20, 11);
    await work(socket, next);
    socket.write(method(1, 20, 40, uint16(200), short(''), uint16(0), uint16(0)));
    await answer(20, 41);
  } finally {
    socket.destroy();
  }
}

function framesOf(queue: string, message: RawMessage): Buffer[] {
  const { body, headers, contentType, contentEncoding, messageId, timestamp } = message;
  const table = headers?.map(([name, type, value]) => {
    const content = 'SxAF'.includes(type) ? long(value) : value;
    return Buffer.concat([short(name), Buffer.from(type), content]);
  });
  const present: [flag: number, bytes: Buffer | undefined][] = [
    [0x8000, contentType === undefined ? undefined : short(contentType)],
    [0x4000, contentEncoding === undefined ? undefined : short(contentEncoding)],
    [0x2000, table === undefined ? undefined : long(Buffer.concat(table))],
    [0x0080, messageId === undefined ? undefined : short(messageId)],
    [0x0040, timestamp === undefined ? undefined : uint64(timestamp)],
  ];
  const flags = present.reduce((sum, [flag, bytes]) => (bytes === undefined ? sum : sum | flag), 0);
  const properties = present.flatMap(([, bytes]) => (bytes === undefined ? [] : [bytes]));
  const size = Buffer.alloc(8);
  size.writeBigUInt64BE(BigInt(body.length));
  const frames = [
    method(1, 60, 40, uint16(0), short(''), short(queue), Buffer.of(0)),
    frame(frameType.header, 1, uint16(60), uint16(0), size, uint16(flags), ...properties),
  ];
  for (let start = 0; start < body.length; start += bytesOfBodyFrame) {
    frames.push(frame(frameType.body, 1, body.subarray(start, start + bytesOfBodyFrame)));
  }
  return frames;
}

/** Waits for one method of the broker, and answers with its fields; an answer of another kind is an error that names it. */
function reader(
  next: (type: number) => Promise<Buffer>,
): (classId: number, methodId: number) => Promise<Cursor> {
  return async (classId, methodId) => {
    const payload = await next(frameType.method);
    const kind = `${payload.readUInt16BE(0)}.${payload.readUInt16BE(2)}`;
    if (kind === `${classId}.${methodId}`) return new Cursor(payload.subarray(4));
    const text = payload.subarray(4).toString('latin1');
    throw new Error(`expected ${classId}.${methodId} from the broker, got ${kind}: ${text}`);
  };
}

/** The payload of the next frame of a type; others are passed over. */
function frames(socket: Socket): (type: number) => Promise<Buffer> {
  let received = Buffer.alloc(0);
  return async (wanted) => {
    for (;;) {
      const length = received.length < 7 ? undefined : received.readUInt32BE(3) + 8;
      if (length !== undefined && received.length >= length) {
        const type = received[0];
        const payload = received.subarray(7, length - 1);
        received = received.subarray(length);
        if (type === wanted) return payload;
        continue;
      }
      const [chunk] = (await once(socket, 'data')) as [Buffer];
      received = Buffer.concat([received, chunk]);
    }
  };
}

function method(channel: number, classId: number, methodId: number, ...fields: Uint8Array[]): Buffer {
  return frame(frameType.method, channel, uint16(classId), uint16(methodId), ...fields);
}

function frame(type: number, channel: number, ...parts: Uint8Array[]): Buffer {
  const payload = Buffer.concat(parts);
  const head = [Buffer.of(type), uint16(channel), uint32(payload.length)];
  return Buffer.concat([...head, payload, Buffer.of(endOfFrame)]);
}

function short(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([Buffer.of(bytes.length), bytes]);
}

function long(bytes: Uint8Array): Buffer {
  return Buffer.concat([uint32(bytes.length), bytes]);
}

function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

function uint64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(value);
  return bytes;
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
