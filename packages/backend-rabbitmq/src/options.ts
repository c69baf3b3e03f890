import type { Logger, QueueOptions } from '@melange/core';
import type { Options, SocketOptions } from 'amqplib';

/** Quorum queues are replicated and count deliveries; classic ones are lighter. */
export type RabbitMqQueueType = 'quorum' | 'classic';

/** Settings of `RabbitMqBackend`. */
export interface RabbitMqBackendOptions {
  /** `amqp://` or `amqps://` address with user, password and virtual host, or amqplib's connect options. */
  readonly url: string | Options.Connect;
  /**
   * amqplib's socket options: TLS certificates, `keepAlive`, `clientProperties`. Default: `{ noDelay: true }`.
   * Its `timeout` is `connectTimeoutMs`, and its recovery is not used: the backend reconnects by itself.
   */
  readonly socketOptions?: Omit<SocketOptions, 'recovery'>;
  /** Longest wait for a connection, in ms; past it `BrokerUnavailableError`. Default: 10,000. */
  readonly connectTimeoutMs?: number;
  /** Longest wait for the confirmation of a publish, reconnects included, in ms; past it `PublishError`. Default: 30,000. */
  readonly publishTimeoutMs?: number;
  /**
   * Interval of heartbeats, in seconds: a connection silent for two to three of them is given up. An interval
   * given with `url` goes first; 0 turns heartbeats off. Default: 10.
   */
  readonly heartbeatSeconds?: number;
  /** Type of the queues that are declared without one. Queues that delay are quorum queues always. Default: `quorum`. */
  readonly defaultQueueType?: RabbitMqQueueType;
  /** Told of trouble and recovery. Default: warnings and errors to standard error. */
  readonly logger?: Logger;
}

/** How a RabbitMQ queue is made. */
export interface RabbitMqQueueOptions extends QueueOptions {
  /** Quorum or classic. Default: the backend's `defaultQueueType`. */
  readonly type?: RabbitMqQueueType;
}
