import type { BackendOptions } from '@melange/backend-kit';
import { MelangeError, type QueueOptions } from '@melange/core';
import { checkDelayMs, checkWholeNumber } from '@melange/core/adapter';
import type { Options, SocketOptions } from 'amqplib';

/** Quorum queues are replicated and count deliveries; classic ones are lighter. */
export type RabbitMqQueueType = 'quorum' | 'classic';

/** Settings of `RabbitMqBackend`. */
export interface RabbitMqBackendOptions extends BackendOptions {
  /** `amqp://` or `amqps://` address with user, password and virtual host, or amqplib's connect options. */
  readonly url: string | Options.Connect;
  /**
   * amqplib's socket options: TLS certificates, `keepAlive`, `clientProperties`. Default: `{ noDelay: true }`.
   * Its `timeout` is `connectTimeoutMs`, and its recovery is not used: the backend reconnects by itself.
   */
  readonly socketOptions?: Omit<SocketOptions, 'recovery'>;
  /** Longest wait for a connection, in ms; past it `BrokerUnavailableError`. Default: 10,000. */
  readonly connectTimeoutMs?: number;
  /**
   * Interval of heartbeats, in seconds: a connection silent for two to three of them is given up. An interval
   * given with `url` goes first; 0 turns heartbeats off. Default: 10.
   */
  readonly heartbeatSeconds?: number;
  /** Type of the queues that are declared without one. Queues that delay are quorum queues always. Default: `quorum`. */
  readonly defaultQueueType?: RabbitMqQueueType;
}

/** How a RabbitMQ queue is made. */
export interface RabbitMqQueueOptions extends QueueOptions {
  /** Quorum or classic. Default: the backend's `defaultQueueType`. */
  readonly type?: RabbitMqQueueType;
}

/** Settings with their defaults. */
export interface RabbitMqSettings {
  /** With the interval of heartbeats. */
  readonly url: string | Options.Connect;
  readonly socketOptions: Omit<SocketOptions, 'recovery'>;
  readonly connectTimeoutMs: number;
  readonly defaultQueueType: RabbitMqQueueType;
  /** Host and port alone: the rest of the address may hold credentials. */
  readonly address: string;
}

/** @throws MelangeError `CONFIGURATION` for an address that is none, and for numbers that make no sense. */
export function settingsOf(options: RabbitMqBackendOptions): RabbitMqSettings {
  const { url, socketOptions = {}, connectTimeoutMs = 10_000, publishTimeoutMs = 0 } = options;
  const { requestTimeoutMs = 0, heartbeatSeconds = 10, defaultQueueType = 'quorum' } = options;
  checkDelayMs('connectTimeoutMs', connectTimeoutMs);
  checkDelayMs('publishTimeoutMs', publishTimeoutMs);
  checkDelayMs('requestTimeoutMs', requestTimeoutMs);
  checkWholeNumber('heartbeatSeconds', heartbeatSeconds, 0);
  const shared = { socketOptions, connectTimeoutMs, defaultQueueType };
  if (typeof url !== 'string') {
    const { hostname = 'localhost', port = 5672 } = url;
    checkWholeNumber('url.port', port, 1);
    if (port > 65_535)
      throw new MelangeError('CONFIGURATION', `url.port must be at most 65535, not ${port}.`);
    return { ...shared, url: { heartbeat: heartbeatSeconds, ...url }, address: `${hostname}:${port}` };
  }
  if (!isAddress(url)) {
    // Without the address, which may hold a password.
    const text =
      'url must be an amqp:// or amqps:// address with a port of at most 65535, as amqp://user@host:5672/vhost.';
    throw new MelangeError('CONFIGURATION', text);
  }
  const hasHeartbeat = /[?&]heartbeat=/.test(url);
  const query = hasHeartbeat ? '' : `${url.includes('?') ? '&' : '?'}heartbeat=${heartbeatSeconds}`;
  return { ...shared, url: url + query, address: new URL(url).host };
}

function isAddress(url: string): boolean {
  try {
    return /^amqps?:$/.test(new URL(url).protocol) && new URL(url).hostname !== '';
  } catch {
    return false;
  }
}
