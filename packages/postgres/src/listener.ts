import { randomUUID } from 'node:crypto';
import type { Logger } from '@melange/core';
import type pg from 'pg';
import { codeOf, reasonUnavailable } from './errors.ts';
import { quoteIdentifier } from './options.ts';

/** A notification of its own that does not come within this time is swallowed on its way. */
const probeMs = 3_000;
/** A connection that does not answer for this time is given up. */
const heartbeatMs = 15_000;
const minPauseMs = 100;
const maxPauseMs = 5_000;
/** A server that does not let it listen is asked again now and then: it may be replaced. */
const refusedPauseMs = 60_000;

const probePrefix = 'melange-probe ';

type OnNotify = (payload: string) => void;

/** Listens for all channels on one connection of its own, which it makes again when it is lost. */
export class Listener {
  readonly #connect: () => pg.Client;
  readonly #notify: (channel: string, payload: string) => Promise<void>;
  readonly #logger: Logger;
  readonly #channels = new Map<string, Set<OnNotify>>();
  readonly #probes = new Map<string, () => void>();
  #client: pg.Client | undefined;
  #connecting: Promise<void> | undefined;
  #attempt = 0;
  #again: NodeJS.Timeout | undefined;
  #heartbeat: NodeJS.Timeout | undefined;
  #isInTrouble = false;
  #isClosed = false;

  /**
   * @param connect a client that is not yet connected.
   * @param notify sends a notification, on another connection.
   */
  constructor(
    connect: () => pg.Client,
    notify: (channel: string, payload: string) => Promise<void>,
    logger: Logger,
  ) {
    this.#connect = connect;
    this.#notify = notify;
    this.#logger = logger;
  }

  get isListening(): boolean {
    return this.#client !== undefined;
  }

  async listen(channel: string, onNotify: OnNotify): Promise<() => Promise<void>> {
    const known = this.#channels.get(channel) ?? new Set();
    const isNew = known.size === 0;
    // One function may listen twice.
    const callback: OnNotify = (payload) => onNotify(payload);
    this.#channels.set(channel, known.add(callback));
    if (this.#client === undefined) await this.#open();
    else if (isNew) await this.#execute(this.#client, `listen ${quoteIdentifier(channel)}`);
    return async () => {
      if (!known.delete(callback) || known.size > 0 || this.#channels.get(channel) !== known) return;
      this.#channels.delete(channel);
      if (this.#channels.size === 0) await this.#drop();
      else if (this.#client !== undefined)
        await this.#execute(this.#client, `unlisten ${quoteIdentifier(channel)}`);
    };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#channels.clear();
    await this.#drop();
  }

  /** Resolves when it listens, or cannot now. */
  #open(): Promise<void> {
    clearTimeout(this.#again);
    this.#connecting ??= this.#tryOnce().finally(() => {
      this.#connecting = undefined;
    });
    return this.#connecting;
  }

  async #tryOnce(): Promise<void> {
    if (this.#isClosed || this.#channels.size === 0) return;
    const client = this.#connect();
    client.on('error', () => undefined);
    client.on('notification', ({ channel, payload = '' }) => this.#onNotification(channel, payload));
    try {
      await client.connect();
      const channels = [...this.#channels.keys()];
      for (const channel of channels) await client.query(`listen ${quoteIdentifier(channel)}`);
      await this.#probe(channels[0] as string);
      if (this.#isClosed || this.#channels.size === 0) return void (await end(client));
      client.once('end', () => this.#lost(client));
      this.#client = client;
      // What was added meanwhile.
      for (const channel of this.#channels.keys())
        if (!channels.includes(channel)) await this.#execute(client, `listen ${quoteIdentifier(channel)}`);
    } catch (error) {
      await end(client);
      if (this.#client === client) this.#client = undefined;
      this.#failed(error);
      return;
    }
    this.#attempt = 0;
    this.#beat(client);
    if (this.#isInTrouble) this.#logger.info('Postgres notifies again', {});
    this.#isInTrouble = false;
    // Some may have been missed.
    for (const callbacks of this.#channels.values()) for (const callback of callbacks) callback('');
  }

  #failed(error: unknown): void {
    if (this.#isClosed) return;
    this.#attempt += 1;
    if (!this.#isInTrouble)
      this.#logger.warn(
        'Postgres sends no notifications on a connection of its own: new messages are found by asking now and then',
        { error },
      );
    this.#isInTrouble = true;
    const isOutage = reasonUnavailable(error) !== undefined && codeOf(error) !== '25006';
    const pauseMs = isOutage
      ? Math.min(minPauseMs * 2 ** (this.#attempt - 1), maxPauseMs) * (1 - Math.random() / 2)
      : refusedPauseMs;
    this.#again = setTimeout(() => void this.#open(), pauseMs);
    this.#again.unref();
  }

  #lost(client: pg.Client): void {
    if (this.#client !== client) return;
    this.#client = undefined;
    clearTimeout(this.#heartbeat);
    void this.#open();
  }

  #onNotification(channel: string, payload: string): void {
    if (payload.startsWith(probePrefix)) {
      this.#probes.get(payload)?.();
      return;
    }
    for (const callback of this.#channels.get(channel) ?? []) callback(payload);
  }

  /** Sends a notification by another connection: a pooler that gives each statement another one takes LISTEN, and nothing ever comes. */
  async #probe(channel: string): Promise<void> {
    const payload = `${probePrefix}${randomUUID()}`;
    let timer: NodeJS.Timeout | undefined;
    const arrived = new Promise<void>((resolve, reject) => {
      this.#probes.set(payload, resolve);
      const text = `A notification did not arrive within ${probeMs / 1000} s: is there a pooler in between, in its transaction mode?`;
      timer = setTimeout(() => reject(new Error(text)), probeMs);
    });
    try {
      await Promise.all([arrived, this.#notify(channel, payload)]);
    } finally {
      clearTimeout(timer);
      this.#probes.delete(payload);
    }
  }

  #beat(client: pg.Client): void {
    this.#heartbeat = setTimeout(async () => {
      if (this.#client !== client) return;
      await this.#execute(client, 'select 1');
      if (this.#client === client) this.#beat(client);
    }, heartbeatMs);
    this.#heartbeat.unref();
  }

  /** On a connection that listens; one that does not answer is given up. Never rejects. */
  async #execute(client: pg.Client, text: string): Promise<void> {
    try {
      await client.query({ text, query_timeout: heartbeatMs } as pg.QueryConfig);
    } catch (error) {
      this.#logger.debug('the connection that listens is given up', { error });
      await end(client);
      this.#lost(client);
    }
  }

  async #drop(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    clearTimeout(this.#again);
    clearTimeout(this.#heartbeat);
    await this.#connecting;
    if (client !== undefined) await end(client);
  }
}

async function end(client: pg.Client): Promise<void> {
  await client.end().catch(() => undefined);
}
