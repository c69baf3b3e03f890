import { setTimeout as sleep } from 'node:timers/promises';
import { reconnectDelayMs, type Troubles } from '@melange/backend-kit';
import { BrokerUnavailableError, MelangeError } from '@melange/core';
import { type Channel, type ChannelModel, connect } from 'amqplib';
import type { RabbitMqBackendOptions } from '../options.ts';
import { destroy, type FrameInlet, frameInlet, hasEnded, writeByTurns } from './amqplib-internals.ts';

const closeWithinMs = 5_000;

/** Resolves after so many ms, or when `signal` is aborted. */
export async function pause(delayMs: number, signal?: AbortSignal): Promise<void> {
  await sleep(delayMs, undefined, signal === undefined ? {} : { signal }).catch(() => undefined);
}

/** One AMQP connection, made when it is first asked for, and made again by itself after it was lost. */
export class RabbitMqConnection {
  readonly #options: RabbitMqBackendOptions;
  readonly #purpose: string;
  readonly #troubles: Troubles;
  readonly #closing = new AbortController();
  #connecting: Promise<ChannelModel> | undefined;
  /** Goes on until there is a connection again, or until `close`. */
  #reconnecting: Promise<ChannelModel> | undefined;
  #model: ChannelModel | undefined;
  #inlet: FrameInlet | undefined;
  #blockedBecause: string | undefined;
  #lostBecause: string | undefined;
  /** Called when the broker takes messages again after it had blocked the connection. */
  onUnblocked: () => void = () => undefined;
  /** Called when a lost connection was made again. */
  onReconnected: () => void = () => undefined;

  /** @param purpose what it is for, as logs and health have it: `publishing`. */
  constructor(options: RabbitMqBackendOptions, purpose: string, troubles: Troubles) {
    this.#options = options;
    this.#purpose = purpose;
    this.#troubles = troubles;
  }

  /** Why the broker holds publishers back, if it does. */
  get blockedBecause(): string | undefined {
    return this.#blockedBecause;
  }

  /** Why there is no connection, after one was lost or could not be made. */
  get lostBecause(): string | undefined {
    return this.#lostBecause;
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
    this.#troubles.end(this.#connectionSubject);
    if (this.#closing.signal.aborted) throw closedError();
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
        if (isOwnFault(error)) throw error;
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
      this.#troubles.begin(blockedSubject, `RabbitMQ blocks publishers: ${reason}`);
    });
    model.on('unblocked', () => {
      this.#blockedBecause = undefined;
      this.#troubles.end(blockedSubject);
      this.onUnblocked();
    });
  }

  #onLost(reason: string): void {
    this.#model = undefined;
    if (this.#blockedBecause !== undefined) this.#troubles.end(blockedSubject);
    this.#blockedBecause = undefined;
    this.#lostBecause = reason;
    this.#troubles.begin(this.#connectionSubject, `reconnecting: ${reason}`);
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
    if (!this.#closing.signal.aborted)
      this.#troubles.begin(this.#connectionSubject, `not connected: ${reason}`);
    return this.#unavailable(reason);
  }

  get #connectionSubject(): string {
    return `with the connection to RabbitMQ for ${this.#purpose}`;
  }

  /** Without `cause`: amqplib's errors may quote the address with its password. */
  #unavailable(reason: string): BrokerUnavailableError {
    return new BrokerUnavailableError(`RabbitMQ at ${this.host} cannot be reached: ${reason}.`);
  }

  #address(): RabbitMqBackendOptions['url'] {
    const { url, heartbeatSeconds = 10 } = this.#options;
    if (typeof url !== 'string') return { heartbeat: heartbeatSeconds, ...url };
    if (/[?&]heartbeat=/.test(url)) return url;
    return `${url}${url.includes('?') ? '&' : '?'}heartbeat=${heartbeatSeconds}`;
  }

  /** Host and port alone: the rest may hold credentials. */
  get host(): string {
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

/** A mistake in the code, ours or of what it calls: trying again would repeat it. */
export function isOwnFault(error: unknown): boolean {
  const name = error instanceof Error ? error.constructor.name : '';
  return /^(TypeError|RangeError|ReferenceError|SyntaxError|AssertionError)$/.test(name);
}

/** Subject of the trouble that RabbitMQ holds publishers back. */
const blockedSubject = 'with publishing';

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
