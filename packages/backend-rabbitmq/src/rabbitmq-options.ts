import type { Logger, QueueOptions } from '@melange/core';
import type { Options, SocketOptions } from 'amqplib';

/** Quorum queues are replicated and count deliveries; classic ones are lighter. */
export type RabbitMqQueueType = 'quorum' | 'classic';

/** Settings of `RabbitMqBackend`. */
export interface RabbitMqBackendOptions {
  /** `amqp://` or `amqps://` address with user, password and virtual host, or amqplib's connect options. */
  readonly url: string | Options.Connect;
  /** amqplib's socket options: TLS certificates, `keepAlive`, `clientProperties`. Default: none. */
  readonly socketOptions?: Omit<SocketOptions, 'recovery'>;
  /** Longest wait for a connection, in ms. Default: 10,000. */
  readonly connectTimeoutMs?: number;
  /** Longest wait for the confirmation of a publish, reconnects included, in ms. Default: 30,000. */
  readonly publishTimeoutMs?: number;
  /** Interval after which a silent connection is given up, in seconds; two are waited. Default: 10. */
  readonly heartbeatSeconds?: number;
  /** Type of queues, and of the queues that delay retries. Default: `quorum`. */
  readonly defaultQueueType?: RabbitMqQueueType;
  /** Default: warnings and errors to standard error. */
  readonly logger?: Logger;
}

/** How a RabbitMQ queue is made. */
export interface RabbitMqQueueOptions extends QueueOptions {
  /** Default: the backend's `defaultQueueType`. */
  readonly type?: RabbitMqQueueType;
}
