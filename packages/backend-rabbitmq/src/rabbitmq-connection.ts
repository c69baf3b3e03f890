import { BrokerUnavailableError, exponentialBackoff, type Logger, MelangeError } from '@melange/core';
import { type ChannelModel, connect } from 'amqplib';
import type { RabbitMqBackendOptions } from './rabbitmq-options.ts';

const reconnects = exponentialBackoff({ firstDelayMs: 100, longestDelayMs: 5_000, jitter: 0.5 });
const closeWithinMs = 3_000;

/** Pause before the next try, in ms; `attempt` from 1. */
export function reconnectDelayMs(attempt: number): number {
  return reconnects.delayMs(attempt, Math.random());
}

/** Resolves after so many ms. */
export function pause(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs));
}

/** One AMQP connection, made when it is asked for and made again after it was lost. */
export class RabbitMqConnection {
  readonly #options: RabbitMqBackendOptions;
  readonly #purpose: string;
  readonly #logger: Logger;
  #connecting: Promise<ChannelModel> | undefined;
  #model: ChannelModel | undefined;
  #wasConnected = false;
  #isClosed = false;
  #blockedBecause: string | undefined;
  #lostBecause: string | undefined;
  /** Called when the broker takes messages again after it had blocked the connection. */
  onUnblocked: () => void = () => undefined;

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

  /**
   * The open connection. The first one is tried once, so that a wrong address is told at once; after that
   * tries go on until `connectTimeoutMs`.
   *
   * @throws BrokerUnavailableError
   */
  async acquire(): Promise<ChannelModel> {
    const deadline = Date.now() + this.#connectTimeoutMs;
    for (let attempt = 1; ; attempt += 1) {
      if (this.#isClosed) throw new MelangeError('CLOSED', 'The RabbitMQ backend is closed.');
      if (this.#model !== undefined) return this.#model;
      this.#connecting ??= this.#connect().finally(() => {
        this.#connecting = undefined;
      });
      try {
        return await this.#connecting;
      } catch (error) {
        const delayMs = reconnectDelayMs(attempt);
        if (this.#isClosed || !this.#wasConnected || Date.now() + delayMs > deadline) throw error;
        await pause(delayMs);
      }
    }
  }

  /** Bounded: a peer that does not answer is left behind. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const model = this.#model;
    this.#model = undefined;
    if (model === undefined) return;
    const closing = model.close().catch(() => undefined);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(() => {
        destroy(model);
        resolve();
      }, closeWithinMs);
    });
    await Promise.race([closing, late]);
    clearTimeout(timer);
  }

  get #connectTimeoutMs(): number {
    return this.#options.connectTimeoutMs ?? 10_000;
  }

  async #connect(): Promise<ChannelModel> {
    const { socketOptions } = this.#options;
    try {
      const model = await connect(this.#address(), { ...socketOptions, timeout: this.#connectTimeoutMs });
      this.#watch(model);
      if (this.#isClosed) {
        await model.close();
        throw new MelangeError('CLOSED', 'The RabbitMQ backend is closed.');
      }
      if (this.#wasConnected) this.#logger.info('connected to RabbitMQ again', { purpose: this.#purpose });
      this.#model = model;
      this.#wasConnected = true;
      this.#lostBecause = undefined;
      return model;
    } catch (error) {
      const reason = textOf(error);
      this.#lostBecause = reason;
      throw new BrokerUnavailableError(`RabbitMQ at ${this.#printable()} cannot be reached: ${reason}.`);
    }
  }

  #watch(model: ChannelModel): void {
    model.on('error', (error: Error) => {
      this.#lostBecause = textOf(error);
    });
    model.on('close', (error?: Error) => {
      if (this.#model !== model) return;
      this.#model = undefined;
      this.#blockedBecause = undefined;
      this.#lostBecause = error === undefined ? 'the connection was closed' : textOf(error);
      this.#logger.warn('lost the connection to RabbitMQ', {
        purpose: this.#purpose,
        reason: this.#lostBecause,
      });
    });
    model.on('blocked', (reason: string) => {
      this.#blockedBecause = reason;
      this.#logger.warn('RabbitMQ blocks publishers', { reason });
    });
    model.on('unblocked', () => {
      this.#blockedBecause = undefined;
      this.#logger.info('RabbitMQ takes messages again');
      this.onUnblocked();
    });
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

/** What went wrong, without the addresses that some errors quote. */
function textOf(error: unknown): string {
  const text = error instanceof Error ? error.message || error.name : String(error);
  return text.replace(/amqps?:\/\/\S+/g, 'amqp://…');
}

function destroy(model: ChannelModel): void {
  (model as unknown as { connection?: { stream?: { destroy(): void } } }).connection?.stream?.destroy();
}
