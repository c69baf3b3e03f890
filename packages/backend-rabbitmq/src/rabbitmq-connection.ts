import { setTimeout as sleep } from 'node:timers/promises';
import { BrokerUnavailableError, exponentialBackoff, type Logger, MelangeError } from '@melange/core';
import { type Channel, type ChannelModel, connect } from 'amqplib';
import { destroy, type FrameInlet, frameInlet, hasEnded, writeByTurns } from './amqplib-internals.ts';
import type { RabbitMqBackendOptions } from './rabbitmq-options.ts';

const reconnects = exponentialBackoff({ firstDelayMs: 100, longestDelayMs: 5_000, jitter: 0.5 });
const closeWithinMs = 5_000;

/** Pause before the next try, in ms; `attempt` from 1. */
export function reconnectDelayMs(attempt: number): number {
  return reconnects.delayMs(attempt, Math.random());
}

/** Resolves after so many ms, or when `signal` is aborted. */
export async function pause(delayMs: number, signal?: AbortSignal): Promise<void> {
  await sleep(delayMs, undefined, signal === undefined ? {} : { signal }).catch(() => undefined);
}

/** One AMQP connection, made when it is first asked for, and made again by itself after it was lost. */
export class RabbitMqConnection {
  readonly #options: RabbitMqBackendOptions;
  readonly #purpose: string;
  readonly #logger: Logger;
  readonly #closing = new AbortController();
  #connecting: Promise<ChannelModel> | undefined;
  /** Goes on until there is a connection again, or until `close`. */
  #reconnecting: Promise<ChannelModel> | undefined;
  #model: ChannelModel | undefined;
  #inlet: FrameInlet | undefined;
  #wasConnected = false;
  #blockedBecause: string | undefined;
  #lostBecause: string | undefined;
  #lostAt = 0;
  /** Called when the broker takes messages again after it had blocked the connection. */
  onUnblocked: () => void = () => undefined;
  /** Called when a lost connection was made again. */
  onReconnected: () => void = () => undefined;

  constructor(options: RabbitMqBackendOptions, purpose: string, logger: Logger) {
    this.#options = options;
    this.#purpose = purpose;
    this.#logger = logger;
  }

  /** Why the broker holds publishers back, if it does. */
  get blockedBecause(): string | undefined {
    return this.#blockedBecause;
  }

  /** Why there is no connection, after one was lost or could not be made. */
  get lostBecause(): string | undefined {
    return this.#lostBecause;
  }

  /** For how many ms there has been none; endless while there never was one. */
  get lostForMs(): number {
    return this.#wasConnected ? Date.now() - this.#lostAt : Number.POSITIVE_INFINITY;
  }

  /** Where deliveries can be taken that amqplib is not to read, if they can. */
  get inlet(): FrameInlet | undefined {
    return this.#inlet;
  }

  /**
   * The open connection. The first one is tried once, so that a wrong address is told at once; a lost one is
   * waited for until `connectTimeoutMs`.
   *
   * @throws BrokerUnavailableError, MelangeError `CLOSED`.
   */
  async acquire(): Promise<ChannelModel> {
    if (this.#closing.signal.aborted) throw closedError();
    if (this.#model !== undefined) return this.#model;
    if (this.#reconnecting === undefined) return this.#connectOnce();
    const waiting = new AbortController();
    const late = pause(this.#connectTimeoutMs, waiting.signal).then(() => {
      throw this.#unavailable(this.#lostBecause ?? 'no answer');
    });
    late.catch(() => undefined);
    try {
      return await Promise.race([this.#reconnecting, late]);
    } finally {
      waiting.abort();
    }
  }

  /** Bounded: a peer that does not answer is left behind. */
  async close(): Promise<void> {
    this.#closing.abort();
    await bounded(this.#disconnect());
    if (this.#model !== undefined) destroy(this.#model);
    this.#model = undefined;
  }

  async #disconnect(): Promise<void> {
    await this.#connecting?.catch(() => undefined);
    const model = this.#model;
    if (model === undefined) return;
    // amqplib's own promise stays open when the connection dies while it is closed: its event does not.
    await new Promise<void>((resolve) => {
      model.once('close', () => resolve());
      model.close().then(resolve, () => resolve());
    });
  }

  get #connectTimeoutMs(): number {
    return this.#options.connectTimeoutMs ?? 10_000;
  }

  #connectOnce(): Promise<ChannelModel> {
    this.#connecting ??= this.#connect().finally(() => {
      this.#connecting = undefined;
    });
    return this.#connecting;
  }

  async #connect(): Promise<ChannelModel> {
    const { socketOptions } = this.#options;
    let model: ChannelModel;
    try {
      // Without `noDelay` each round trip waits for the other side's delayed acknowledgement, some 20 ms.
      const settings = { noDelay: true, ...socketOptions, timeout: this.#connectTimeoutMs };
      model = await connect(this.#address(), settings);
    } catch (error) {
      throw this.#notConnected(error);
    }
    this.#watch(model);
    // Closed by the broker in the same breath, before anybody listened: nobody would ever hear of it.
    if (hasEnded(model)) throw this.#notConnected(new Error('closed at once'));
    writeByTurns(model);
    this.#inlet = frameInlet(model);
    this.#model = model;
    this.#lostBecause = undefined;
    if (this.#closing.signal.aborted) throw closedError();
    if (this.#wasConnected) this.#logger.info('connected to RabbitMQ again', { purpose: this.#purpose });
    this.#wasConnected = true;
    return model;
  }

  /** An idle connection comes back too: otherwise its loss would stay in `health` until somebody needed it. */
  async #reconnect(): Promise<ChannelModel> {
    for (let attempt = 1; ; attempt += 1) {
      await pause(reconnectDelayMs(attempt), this.#closing.signal);
      if (this.#closing.signal.aborted) throw closedError();
      try {
        return await this.#connectOnce();
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        this.#logger.warn('cannot connect to RabbitMQ yet', { purpose: this.#purpose, attempt, reason });
      }
    }
  }

  #watch(model: ChannelModel): void {
    model.on('error', (error: Error) => {
      this.#lostBecause = textOf(error);
    });
    model.on('close', (error?: Error) => {
      // amqplib only ends the socket: a peer that is silent would keep it, and the process, for minutes.
      setTimeout(() => destroy(model), 1_000).unref();
      if (this.#model !== model || this.#closing.signal.aborted) return;
      this.#onLost(error === undefined ? 'the connection was closed' : textOf(error));
    });
    model.on('blocked', (reason: string) => {
      this.#blockedBecause = reason;
      this.#logger.warn('RabbitMQ blocks publishers', { purpose: this.#purpose, reason });
    });
    model.on('unblocked', () => {
      this.#blockedBecause = undefined;
      this.#logger.info('RabbitMQ takes messages again', { purpose: this.#purpose });
      this.onUnblocked();
    });
  }

  #onLost(reason: string): void {
    this.#model = undefined;
    this.#blockedBecause = undefined;
    this.#lostBecause = reason;
    this.#lostAt = Date.now();
    this.#logger.warn('lost the connection to RabbitMQ', { purpose: this.#purpose, reason });
    const reconnecting = this.#reconnect();
    this.#reconnecting = reconnecting;
    reconnecting.then(
      () => {
        if (this.#reconnecting === reconnecting) this.#reconnecting = undefined;
        this.onReconnected();
      },
      () => undefined,
    );
  }

  #notConnected(error: unknown): BrokerUnavailableError {
    const reason = textOf(error);
    this.#lostBecause = reason;
    return this.#unavailable(reason);
  }

  /** Without `cause`: amqplib's errors may quote the address with its password. */
  #unavailable(reason: string): BrokerUnavailableError {
    return new BrokerUnavailableError(`RabbitMQ at ${this.#printable()} cannot be reached: ${reason}.`);
  }

  #address(): RabbitMqBackendOptions['url'] {
    const { url, heartbeatSeconds = 10 } = this.#options;
    if (typeof url !== 'string') return { heartbeat: heartbeatSeconds, ...url };
    if (/[?&]heartbeat=/.test(url)) return url;
    return `${url}${url.includes('?') ? '&' : '?'}heartbeat=${heartbeatSeconds}`;
  }

  /** Host and port alone: the rest may hold credentials. */
  #printable(): string {
    const { url } = this.#options;
    if (typeof url !== 'string') return `${url.hostname ?? 'localhost'}:${url.port ?? 5672}`;
    try {
      return new URL(url).host;
    } catch {
      return 'an address that is no URL';
    }
  }
}

/** Waits for an ending to come, but not for one that a silent broker never answers. Never rejects. */
export async function bounded(ending: Promise<unknown>): Promise<void> {
  const late = new AbortController();
  const done = ending.then(
    () => undefined,
    () => undefined,
  );
  await Promise.race([done, pause(closeWithinMs, late.signal)]);
  late.abort();
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

/** Code of an AMQP error, such as 404; `undefined` for any other error. */
export function codeOf(error: unknown): number | undefined {
  const code = (error as { code?: unknown } | undefined)?.code;
  return typeof code === 'number' ? code : undefined;
}

/** A failure of amqplib as one of Melange's; what is one already stays as it is. */
export function asMelangeError(error: unknown): unknown {
  if (MelangeError.is(error)) return error;
  const text = textOf(error);
  if (codeOf(error) === 403)
    return new MelangeError('CONFIGURATION', `RabbitMQ refused: ${text}`, { cause: error });
  const isGone = /^Channel|[Cc]hannel (closed|ended)|Connection clos/.test(text);
  return isGone ? new BrokerUnavailableError(`The connection to RabbitMQ was lost: ${text}`) : error;
}

/** What went wrong, without the addresses that some errors quote. */
function textOf(error: unknown): string {
  const text = error instanceof Error ? error.message || error.name : String(error);
  // The broker's own words for it stay inside amqplib.
  if (text.includes('Expected ConnectionOpenOk'))
    return 'its virtual host is missing, full or not open to the user';
  return text.replace(/amqps?:\/\/\S+/g, 'amqp://…');
}

function closedError(): MelangeError {
  return new MelangeError('CLOSED', 'The RabbitMQ backend is closed.');
}
