import type { ConnectionDriver, DriverContext } from '@melange/backend-kit';
import { BrokerUnavailableError } from '@melange/core';
import { type Channel, type ChannelModel, type ConfirmChannel, connect } from 'amqplib';
import { textOf, Unavailable } from '../errors.ts';
import type { RabbitMqSettings } from '../options.ts';
import {
  destroy,
  type FrameInlet,
  type FrameReader,
  frameInlet,
  hasEnded,
  slowReading,
  writeByTurns,
} from './amqplib-internals.ts';

export type { Channel, ConfirmChannel, GetMessage, Message as AmqpMessage, Options } from 'amqplib';

/** An ending that a silent broker does not answer is waited for no longer, in ms. */
const maxEndingMs = 4_000;

/** What hangs on a connection. */
export interface ConnectionHooks<Taken> {
  /** Reads deliveries before amqplib does, where the connection receives. */
  readonly newReader?: () => FrameReader<Taken>;
  /** It was made, or made again. */
  onConnected?(): void;
  /** The broker takes messages again after it had blocked the connection. */
  onUnblocked?(): void;
}

/** One AMQP connection. The kit makes it, and makes it again. */
export class AmqpConnection<Taken> implements ConnectionDriver {
  readonly address: string;
  readonly timeoutMs: number;
  readonly #settings: RabbitMqSettings;
  readonly #context: DriverContext;
  readonly #hooks: ConnectionHooks<Taken>;
  #model: ChannelModel | undefined;
  #inlet: FrameInlet<Taken> | undefined;
  #blockedBecause: string | undefined;

  constructor(settings: RabbitMqSettings, context: DriverContext, hooks: ConnectionHooks<Taken>) {
    this.#settings = settings;
    this.#context = context;
    this.#hooks = hooks;
    this.address = settings.address;
    this.timeoutMs = settings.connectTimeoutMs;
  }

  /** Why the broker holds publishers back, if it does. */
  get blockedBecause(): string | undefined {
    return this.#blockedBecause;
  }

  get isOpen(): boolean {
    return this.#model !== undefined;
  }

  /** Where deliveries can be taken that amqplib is not to read, if they can. */
  get inlet(): FrameInlet<Taken> | undefined {
    return this.#inlet;
  }

  async connect(signal: AbortSignal): Promise<void> {
    const { url, socketOptions } = this.#settings;
    let model: ChannelModel;
    try {
      // Without `noDelay` each round trip waits for the other side's delayed acknowledgement, some 20 ms.
      model = await connect(url, { noDelay: true, ...socketOptions, timeout: this.timeoutMs });
    } catch (error) {
      // Without `cause`: amqplib quotes addresses with their passwords.
      throw new BrokerUnavailableError(textOf(error));
    }
    this.#watch(model);
    // Closed by the broker in the same breath, before anybody listened: nobody would ever hear of it.
    if (hasEnded(model)) throw new BrokerUnavailableError('the connection was closed at once');
    this.#model = model;
    if (signal.aborted) {
      await this.close();
      return;
    }
    writeByTurns(model);
    const { newReader, onConnected } = this.#hooks;
    if (newReader !== undefined) {
      this.#inlet = frameInlet(model, newReader());
      if (this.#inlet === undefined) this.#context.troubles.note(slowReading);
    }
    onConnected?.();
  }

  /** @throws Unavailable while there is no connection. */
  async channel(): Promise<Channel> {
    return heard(await this.#open().createChannel());
  }

  /** @throws Unavailable while there is no connection. */
  async confirmChannel(): Promise<ConfirmChannel> {
    return heard(await this.#open().createConfirmChannel());
  }

  /** Bounded: a peer that does not answer is left behind. */
  async close(): Promise<void> {
    const model = this.#model;
    this.#model = undefined;
    if (model === undefined) return;
    // amqplib's own promise stays open when the connection dies while it is closed: its event does not.
    await bounded(
      new Promise<void>((resolve) => {
        model.once('close', () => resolve());
        model.close().then(resolve, () => resolve());
      }),
    );
    destroy(model);
  }

  #open(): ChannelModel {
    if (this.#model === undefined) throw new Unavailable('there is no connection');
    return this.#model;
  }

  #watch(model: ChannelModel): void {
    let reason = 'the connection was closed';
    const { troubles } = this.#context;
    model.on('error', (error: Error) => {
      reason = textOf(error);
    });
    model.on('close', (error?: Error) => {
      // amqplib only ends the socket: a peer that is silent would keep it, and the process, for minutes.
      setTimeout(() => destroy(model), 1_000).unref();
      if (this.#model !== model) return;
      this.#model = undefined;
      this.#unblock();
      this.#context.connectionLost(error === undefined ? reason : textOf(error), this);
    });
    model.on('blocked', (because: string) => {
      this.#blockedBecause = because;
      troubles.begin(blockedSubject, `RabbitMQ blocks publishers: ${because}`);
    });
    model.on('unblocked', () => {
      this.#unblock();
      this.#hooks.onUnblocked?.();
    });
  }

  #unblock(): void {
    if (this.#blockedBecause !== undefined) this.#context.troubles.end(blockedSubject);
    this.#blockedBecause = undefined;
  }
}

/** Subject of the trouble that RabbitMQ holds publishers back. */
const blockedSubject = 'publishing to any queue or topic';

/** A refusal is also an event of its channel, and an event that nobody hears ends the process. */
function heard<Opened extends Channel>(channel: Opened): Opened {
  channel.on('error', () => undefined);
  return channel;
}

/** Waits for an ending to come, but not for one that a silent broker never answers. Never rejects. */
export async function bounded(ending: Promise<unknown>): Promise<void> {
  await new Promise<void>((resolve) => {
    const late = setTimeout(resolve, maxEndingMs);
    const over = (): void => {
      clearTimeout(late);
      resolve();
    };
    ending.then(over, over);
  });
}

/**
 * Closes a channel, a round trip behind everything that was written to it. Bounded, and done when the connection
 * dies meanwhile: amqplib's own promise would then stay open for ever.
 */
export function closeChannel(channel: Channel): Promise<void> {
  return bounded(
    new Promise((resolve, reject) => {
      channel.once('close', resolve);
      channel.close().then(resolve, reject);
    }),
  );
}
