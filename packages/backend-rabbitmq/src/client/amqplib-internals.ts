import type { Duplex } from 'node:stream';
import type { Channel, ChannelModel, MessageProperties } from 'amqplib';
import { basicClass, frameHead, frameType, readUint16, readUint32 } from '../wire/amqp-encoding.ts';
import { DeliveryFrames, type DeliveryTaker } from '../wire/delivery-frames.ts';
import { frameOverhead } from '../wire/publish-frames.ts';

/*
 * All that is known here of amqplib beyond its public interface. Whatever a version does not have is done without.
 */

interface Connection {
  readonly expectSocketClose?: boolean;
  readonly stream?: Duplex;
  readonly frameMax?: number;
  readonly channels?: readonly ({ readonly channel?: unknown } | null)[];
  sendBytes?(bytes: Uint8Array): void;
  /** What was read and is no frame yet. */
  rest?: unknown;
  /** The next frame of what was read; the first that is not whole is read on. */
  recvFrame?(): unknown;
  /** Takes a frame, in a way that changes when the connection ends. */
  accept?(frame: unknown): void;
}

interface ChannelInside {
  readonly ch?: number;
  readonly connection?: Connection;
  /** Takes a frame, in a way that changes when the channel ends. */
  readonly accept?: unknown;
}

/** The connection under a channel, for frames that amqplib did not make. */
export interface FrameOutlet {
  /** Number of the channel. */
  readonly channel: number;
  /** Largest frame, in bytes, that was agreed upon. */
  readonly largestFrame: number;
  readonly stream: Duplex;
  /** Writes whole frames to the stream, before any that are written to the channel later. */
  send(bytes: Uint8Array): void;
}

/** `undefined` where this version of amqplib does not offer it, and when the channel has ended already. */
export function frameOutlet(channel: Channel): FrameOutlet | undefined {
  const { ch, connection } = channel as unknown as ChannelInside;
  const { stream, frameMax, channels } = connection ?? {};
  if (typeof ch !== 'number' || channels?.[ch]?.channel !== channel) return undefined;
  if (typeof frameMax !== 'number' || frameMax <= frameOverhead) return undefined;
  if (typeof stream?.writableLength !== 'number' || typeof connection?.sendBytes !== 'function')
    return undefined;
  // Tells the heartbeat, besides, that something was sent.
  const send = connection.sendBytes.bind(connection);
  return { channel: ch, largestFrame: frameMax, stream, send };
}

/** The side of a connection that receives, for deliveries that amqplib is not to read. */
export interface FrameInlet {
  /** Has the deliveries of this channel taken, where it is one of the connection. */
  takeFrom(channel: Channel, take: DeliveryTaker['take']): void;
}

/**
 * Looks, before amqplib does, for deliveries at the beginning of what was read. `undefined` where this version of
 * amqplib does not offer it: it reads them all itself then.
 */
export function frameInlet(model: ChannelModel): FrameInlet | undefined {
  const connection = connectionOf(model);
  if (typeof connection?.recvFrame !== 'function' || !Buffer.isBuffer(connection.rest)) return undefined;
  const { accept, channels } = connection;
  if (accept === undefined || channels === undefined) return undefined;
  const frames = new DeliveryFrames();
  const next = connection.recvFrame.bind(connection);
  connection.recvFrame = () => {
    const rest = connection.rest as Buffer;
    const length = frames.read(rest);
    if (length > 0) connection.rest = rest.subarray(length);
    const payload = payloadOfProperties(connection.rest as Buffer);
    const frame = next();
    if (payload !== undefined) keepPayload(frame, payload);
    return frame;
  };
  return {
    takeFrom(channel, take) {
      const { ch, accept: acceptOfChannel } = channel as unknown as ChannelInside;
      if (ch === undefined || channels[ch]?.channel !== channel) return;
      // As long as amqplib would hand it to the channel, and the channel to its consumer.
      const isOpen = (): boolean =>
        connection.accept === accept &&
        channels[ch]?.channel === channel &&
        (channel as unknown as ChannelInside).accept === acceptOfChannel;
      frames.add(ch, { isOpen, take });
    },
  };
}

/** Bytes of properties by what amqplib has made of them. */
const payloads = new WeakMap<object, Buffer>();

/**
 * The flags and properties of a message that amqplib has read, as they came: amqplib rounds whole numbers beyond 2^53.
 * `undefined` where this version of amqplib does not let them be seen.
 */
export function propertiesPayload(properties: MessageProperties): Buffer | undefined {
  return payloads.get(properties);
}

/** The payload of the frame of properties that lies at the beginning of the bytes, whole; without class and size. */
function payloadOfProperties(bytes: Buffer): Buffer | undefined {
  if (bytes[0] !== frameType.header || bytes.length < frameHead + 2) return undefined;
  if (readUint16(bytes, frameHead) !== basicClass) return undefined;
  const end = frameHead + readUint32(bytes, 3);
  return bytes.length > end ? bytes.subarray(frameHead + 12, end) : undefined;
}

function keepPayload(frame: unknown, payload: Buffer): void {
  const fields = (frame as { readonly fields?: unknown } | undefined)?.fields;
  if (typeof fields === 'object' && fields !== null) payloads.set(fields, payload);
}

/** Whether the connection has ended, perhaps before anybody listened. */
export function hasEnded(model: ChannelModel): boolean {
  return connectionOf(model)?.expectSocketClose === true;
}

/** Ends the connection without waiting for the peer. */
export function destroy(model: ChannelModel): void {
  connectionOf(model)?.stream?.destroy();
}

/**
 * amqplib writes every frame by itself, which without Nagle's algorithm is a packet and a system call each. What is
 * written in one turn goes out together at its end.
 */
export function writeByTurns(model: ChannelModel): void {
  const stream = connectionOf(model)?.stream;
  if (stream === undefined) return;
  const write = stream.write.bind(stream) as (chunk: unknown) => boolean;
  let isCorked = false;
  const uncork = (): void => {
    isCorked = false;
    stream.uncork();
  };
  stream.write = (chunk: unknown) => {
    if (!isCorked) {
      isCorked = true;
      stream.cork();
      process.nextTick(uncork);
    }
    return write(chunk);
  };
}

function connectionOf(model: ChannelModel): Connection | undefined {
  return (model as unknown as { readonly connection?: Connection }).connection;
}
