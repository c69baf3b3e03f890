import { randomUUID } from 'node:crypto';
import type { ConnectionDriver, DriverContext, Envelope } from '@melange/backend-kit';
import { BrokerUnavailableError } from '@melange/core';
import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { connect, headers, type NatsConnection } from '@nats-io/transport-node';
import { isNoResponders } from './errors.ts';
import type { NatsSettings } from './options.ts';

/** The connection, and what is asked over it. */
export class NatsClient implements ConnectionDriver {
  readonly address: string;
  readonly timeoutMs: number;
  readonly settings: NatsSettings;
  /** Made by `connect`, before which the kit asks for nothing. */
  connection!: NatsConnection;
  /** Streams and consumers. */
  manager!: JetStreamManager;
  readonly #context: DriverContext;

  constructor(settings: NatsSettings, context: DriverContext) {
    this.settings = settings;
    this.address = settings.servers.map(({ host }) => host).join(',');
    this.timeoutMs = settings.connectTimeoutMs;
    this.#context = context;
  }

  /** Connects once: the kit connects again, with pauses. */
  async connect(signal: AbortSignal): Promise<void> {
    const { servers, client, requestTimeoutMs } = this.settings;
    const { username = '', password = '' } = servers[0] ?? {};
    const connection = await connect({
      ...(username !== '' && { user: decodeURIComponent(username), pass: decodeURIComponent(password) }),
      ...client,
      servers: servers.map(({ host }) => host),
      timeout: this.timeoutMs,
      reconnect: false,
      // One that leaves two pings unanswered is given up.
      pingInterval: 5_000,
    });
    this.connection = connection;
    this.manager = await jetstreamManager(connection, { checkAPI: false, timeout: requestTimeoutMs });
    void connection.closed().then((error) => {
      this.#context.connectionLost(error?.message ?? 'the server closed the connection');
    });
    if (signal.aborted) await this.close();
  }

  async close(): Promise<void> {
    await (this.connection as NatsConnection | undefined)?.close();
  }

  /**
   * Resolves when the stream that takes this subject has stored the message.
   *
   * @param once id by which it is stored once, however often it is sent within two minutes. Default: one of its own.
   */
  async publish(subject: string, payload: Envelope, once: string = randomUUID()): Promise<void> {
    const all = headers();
    for (const [name, value] of payload.headers) all.set(name, value);
    try {
      await this.manager.jetstream().publish(subject, payload.body ?? '', { headers: all, msgID: once });
    } catch (error) {
      if (!(error instanceof Error) || !isNoResponders(error.cause)) throw error;
      // There is no such stream, as this says, or it has no leader now.
      await this.manager.streams.find(subject);
      throw new BrokerUnavailableError(`The stream of "${subject}" has no leader now.`);
    }
  }

  /** Resolves when the broker has carried out a settlement. */
  async settle(reply: string, word: string): Promise<void> {
    await this.connection.request(reply, word, { timeout: this.settings.requestTimeoutMs });
  }
}
