import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

/** A header as it is on the wire: its type is AMQP's letter, and a name may come twice. */
export type RawHeader = readonly [name: string, type: 'S' | 'I' | 'V' | 't' | 'd' | 'x', value: Uint8Array];

/** What another client puts into a message. */
export interface RawMessage {
  readonly body: Uint8Array;
  readonly headers?: readonly RawHeader[];
  readonly contentType?: string;
}

const endOfFrame = 0xce;
const frameType = { method: 1, header: 2, body: 3 } as const;
const bytesOfBodyFrame = 100_000;

/**
 * Publishes to a queue with frames written by hand, because a client library would put right, or refuse, what some
 * other client sends. Resolves when the broker has answered the close that follows them.
 */
export async function publishRaw(url: string, queue: string, messages: readonly RawMessage[]): Promise<void> {
  const { hostname, port, username, password, pathname } = new URL(url);
  const socket = connect(Number(port || 5672), hostname);
  try {
    const answer = reader(socket);
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
    for (const message of messages) for (const frame of framesOf(queue, message)) socket.write(frame);
    socket.write(method(1, 20, 40, uint16(200), short(''), uint16(0), uint16(0)));
    await answer(20, 41);
  } finally {
    socket.destroy();
  }
}

function framesOf(queue: string, { body, headers, contentType }: RawMessage): Buffer[] {
  const table = headers?.map(([name, type, value]) => {
    const content = type === 'S' || type === 'x' ? long(value) : value;
    return Buffer.concat([short(name), Buffer.from(type), content]);
  });
  const flags = (contentType === undefined ? 0 : 0x8000) | (table === undefined ? 0 : 0x2000);
  const properties = [
    ...(contentType === undefined ? [] : [short(contentType)]),
    ...(table === undefined ? [] : [long(Buffer.concat(table))]),
  ];
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

/** Waits for one method of the broker; an answer of another kind is an error that names it. */
function reader(socket: Socket): (classId: number, methodId: number) => Promise<void> {
  let received = Buffer.alloc(0);
  return async (classId, methodId) => {
    for (;;) {
      const length = received.length < 7 ? undefined : received.readUInt32BE(3) + 8;
      if (length !== undefined && received.length >= length) {
        const kind = `${received.readUInt16BE(7)}.${received.readUInt16BE(9)}`;
        const type = received[0];
        const text = received.subarray(11, length - 1).toString('latin1');
        received = received.subarray(length);
        if (type !== frameType.method) continue;
        if (kind === `${classId}.${methodId}`) return;
        throw new Error(`expected ${classId}.${methodId} from the broker, got ${kind}: ${text}`);
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

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
