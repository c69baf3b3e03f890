import type { Duplex } from 'node:stream';
import type { Channel, ChannelModel } from 'amqplib';
import { frameOverhead } from './publish-frames.ts';

/*
 * All that is known here of amqplib beyond its public interface. Whatever a version does not have is done without.
 */

interface Connection {
  readonly expectSocketClose?: boolean;
  readonly stream?: Duplex;
  readonly frameMax?: number;
  readonly channels?: readonly ({ readonly channel?: unknown } | null)[];
  sendBytes?(bytes: Uint8Array): void;
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
  const { ch, connection } = channel as unknown as { readonly ch?: number; readonly connection?: Connection };
  const { stream, frameMax, channels } = connection ?? {};
  if (typeof ch !== 'number' || channels?.[ch]?.channel !== channel) return undefined;
  if (typeof frameMax !== 'number' || frameMax <= frameOverhead) return undefined;
  if (typeof stream?.writableLength !== 'number' || typeof connection?.sendBytes !== 'function')
    return undefined;
  // Tells the heartbeat, besides, that something was sent.
  const send = connection.sendBytes.bind(connection);
  return { channel: ch, largestFrame: frameMax, stream, send };
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
