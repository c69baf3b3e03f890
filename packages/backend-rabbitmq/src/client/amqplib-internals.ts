import type { Duplex } from 'node:stream';
import type { Channel, ChannelModel, MessageProperties } from 'amqplib';

/*
 * All that is known here of amqplib beyond its public interface. Where a version of it has something else, its own, slower way is
 * taken, and health says so.
 */

/** Noted in `health` where a version of amqplib is made otherwise. */
export const slowWriting =
  'amqplib is not as this adapter knows it: messages are published by amqplib alone, which takes longer';
/** As `slowWriting`. */
export const slowReading =
  'amqplib is not as this adapter knows it: messages are read by amqplib alone, which takes longer';

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

/** Type, channel and size before the payload of a frame, and the byte behind it. */
const frameOverhead = 8;

/** Nothing where this version of amqplib does not offer it, and when the channel has ended already. */
export function frameOutlet(channel: Channel): FrameOutlet | undefined {
  const { ch, connection } = inside(channel);
  const { stream, frameMax } = connection ?? {};
  if (typeof ch !== 'number' || hasChannelEnded(channel)) return undefined;
  if (typeof frameMax !== 'number' || frameMax <= frameOverhead) return undefined;
  if (typeof stream?.writableLength !== 'number' || typeof connection?.sendBytes !== 'function')
    return undefined;
  // Tells the heartbeat, besides, that something was sent.
  const send = connection.sendBytes.bind(connection);
  return { channel: ch, largestFrame: frameMax, stream, send };
}

/** Whether the channel has ended, perhaps before anybody listened. */
export function hasChannelEnded(channel: Channel): boolean {
  const { ch, connection } = inside(channel);
  return connection?.channels?.[ch ?? -1]?.channel !== channel;
}

/** Reads frames where they lie in what came from the broker. */
export interface FrameReader<Taken> {
  /** Hands over the whole deliveries at the beginning of the bytes, and answers how many bytes those have. */
  read(bytes: Buffer): number;
  /** Flags and properties, where a whole frame of them lies at the beginning of the bytes. */
  propertiesAt(bytes: Buffer): Buffer | undefined;
  /** Deliveries of the channel go to the taker for as long as it is open. */
  add(channel: number, taker: { isOpen(): boolean; take(taken: Taken): void }): void;
}

/** The side of a connection that receives, for deliveries that amqplib is not to read. */
export interface FrameInlet<Taken> {
  /** Has the deliveries of this channel taken, where it is one of the connection. */
  takeFrom(channel: Channel, take: (taken: Taken) => void): void;
}

/**
 * Lets the reader look, before amqplib does, for deliveries at the beginning of what was read. Nothing where this version of
 * amqplib does not offer it: it reads them all itself then.
 */
export function frameInlet<Taken>(
  model: ChannelModel,
  reader: FrameReader<Taken>,
): FrameInlet<Taken> | undefined {
  const connection = connectionOf(model);
  if (typeof connection?.recvFrame !== 'function' || !Buffer.isBuffer(connection.rest)) return undefined;
  const { accept, channels } = connection;
  if (accept === undefined || channels === undefined) return undefined;
  const next = connection.recvFrame.bind(connection);
  connection.recvFrame = () => {
    const rest = connection.rest as Buffer;
    const length = reader.read(rest);
    if (length > 0) connection.rest = rest.subarray(length);
    const payload = reader.propertiesAt(connection.rest as Buffer);
    const frame = next();
    if (payload !== undefined) keepPayload(frame, payload);
    return frame;
  };
  return {
    takeFrom(channel, take) {
      const { ch, accept: acceptOfChannel } = inside(channel);
      if (ch === undefined || channels[ch]?.channel !== channel) return;
      // As long as amqplib would hand it to the channel, and the channel to its consumer.
      const isOpen = (): boolean =>
        connection.accept === accept &&
        channels[ch]?.channel === channel &&
        inside(channel).accept === acceptOfChannel;
      reader.add(ch, { isOpen, take });
    },
  };
}

/** Bytes of properties by what amqplib has made of them. */
const payloads = new WeakMap<object, Buffer>();

/**
 * The flags and properties of a message that amqplib has read, as they came. Nothing where this version of amqplib does not let
 * them be seen.
 */
export function propertiesPayload(properties: MessageProperties): Buffer | undefined {
  return payloads.get(properties);
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

function inside(channel: Channel): ChannelInside {
  return channel as unknown as ChannelInside;
}
