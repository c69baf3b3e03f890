import { MelangeError } from '@melange/core';
import type { FrameOutlet } from '../client/amqplib-internals.ts';
import type { ConfirmChannel, Options } from '../client/connection.ts';
import { type OutgoingMessage, publishOptions } from '../wire/outgoing-message.ts';
import {
  frameOverhead,
  longestBody,
  longestEnvelope,
  PublishFrames,
  type Target,
} from '../wire/publish-frames.ts';

/** Publishes on one channel: the first message has delivery tag 1, and each the next one. */
export interface PublishWriter {
  /** Whether what was written waits for the broker to read, so that no more should be. */
  readonly isFull: boolean;
  /** @throws when AMQP cannot carry the message; it has no tag then. */
  write(target: Target, message: OutgoingMessage): void;
  /** The channel is gone: nothing more is sent. */
  discard(): void;
}

/**
 * @param outlet of the channel, where amqplib has one.
 * @param onDrain called when it is full no longer.
 */
export function publishWriter(
  channel: ConfirmChannel,
  outlet: FrameOutlet | undefined,
  onDrain: () => void,
): PublishWriter {
  return outlet === undefined ? new ChannelWriter(channel, onDrain) : new FrameWriter(outlet, onDrain);
}

/** Memory that frames are made in. */
const chunkBytes = 65_536;
/** Longest message that is made there; a longer one is written piece by piece. */
const longestInChunk = 16_384;
/** What may wait for the broker to read, in bytes. */
const mostUnread = 1_048_576;

/** Makes the frames of all messages of one turn, and writes them at its end as one. */
class FrameWriter implements PublishWriter {
  readonly #outlet: FrameOutlet;
  readonly #onDrain: () => void;
  readonly #frames: PublishFrames;
  readonly #longest: number;
  #chunk = Buffer.allocUnsafe(chunkBytes);
  /** What of the chunk is not sent yet. */
  #start = 0;
  #end = 0;
  #isScheduled = false;
  #isDiscarded = false;
  isFull = false;

  constructor(outlet: FrameOutlet, onDrain: () => void) {
    this.#outlet = outlet;
    this.#onDrain = onDrain;
    this.#frames = new PublishFrames(outlet.channel);
    this.#longest = Math.min(longestInChunk, outlet.largestFrame);
  }

  write(target: Target, message: OutgoingMessage): void {
    const envelope = longestEnvelope(target, message);
    const longest = envelope + longestBody(message);
    if (longest > this.#longest) {
      this.#writeLong(target, message, envelope);
      return;
    }
    if (this.#end + longest > chunkBytes) {
      this.#send();
      // The sent part of the old one is the socket's until it is written.
      this.#chunk = Buffer.allocUnsafe(chunkBytes);
      this.#start = this.#end = 0;
    }
    this.#end = this.#frames.write(this.#chunk, this.#end, target, message);
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    process.nextTick(this.#sendLater);
  }

  discard(): void {
    this.#isDiscarded = true;
  }

  readonly #sendLater = (): void => {
    this.#isScheduled = false;
    this.#send();
  };

  #send(): void {
    if (this.#start === this.#end || this.#isDiscarded) return;
    this.#outlet.send(this.#chunk.subarray(this.#start, this.#end));
    this.#start = this.#end;
    this.#watch();
  }

  #writeLong(target: Target, message: OutgoingMessage, longest: number): void {
    const content = typeof message.content === 'string' ? Buffer.from(message.content) : message.content;
    const envelope = Buffer.allocUnsafe(longest);
    const { largestFrame } = this.#outlet;
    const [properties, end] = this.#frames.writeEnvelope(envelope, target, message, content.length);
    if (end - properties > largestFrame) {
      // The broker would close the connection.
      const text = `The headers take a frame of ${end - properties} bytes; ${largestFrame} were agreed with RabbitMQ.`;
      throw new MelangeError('MESSAGE_TOO_LARGE', text);
    }
    this.#send();
    this.#outlet.send(envelope.subarray(0, end));
    const longestPiece = largestFrame - frameOverhead;
    for (let start = 0; start < content.length; start += longestPiece) {
      for (const part of this.#frames.body(content.subarray(start, start + longestPiece))) {
        this.#outlet.send(part);
      }
    }
    this.#watch();
  }

  #watch(): void {
    const { stream } = this.#outlet;
    if (this.isFull || stream.writableLength < mostUnread) return;
    this.isFull = true;
    stream.once('drain', () => {
      this.isFull = false;
      this.#onDrain();
    });
  }
}

/** With a version of amqplib whose connection is another: message by message, as it does it itself. */
class ChannelWriter implements PublishWriter {
  readonly #channel: ConfirmChannel;
  isFull = false;

  constructor(channel: ConfirmChannel, onDrain: () => void) {
    this.#channel = channel;
    channel.on('drain', () => {
      this.isFull = false;
      onDrain();
    });
  }

  write({ exchange, routingKey, mandatory }: Target, message: OutgoingMessage): void {
    const options: Options.Publish & ReturnType<typeof publishOptions> = {
      ...publishOptions(message),
      mandatory,
    };
    const content = Buffer.from(message.content as string);
    try {
      if (!this.#channel.publish(exchange, routingKey, content, options)) this.isFull = true;
    } catch (error) {
      // Its buffer for headers is smaller than a frame. It says the same of a name that is longer than AMQP's short strings.
      const isNamedTooLong = Object.keys(options.headers).some((name) => Buffer.byteLength(name) > 255);
      if (!(error instanceof RangeError) || isNamedTooLong) throw error;
      throw new MelangeError('MESSAGE_TOO_LARGE', `The headers are too large: ${error.message}.`, {
        cause: error,
      });
    }
  }

  discard(): void {
    // amqplib drops what it has not written when a channel ends.
  }
}
