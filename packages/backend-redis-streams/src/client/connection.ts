import { reconnectDelayMs, type Troubles } from '@melange/backend-kit';
import { BrokerUnavailableError, type Logger, MelangeError } from '@melange/core';
import { Redis, type RedisOptions } from 'ioredis';
import { isOwnFault, isReply, redisErrorCode } from '../errors.ts';
import type { RedisStreamsBackendOptions, RedisStreamsSettings } from '../options.ts';
import { type ScriptName, scripts, textOf } from './scripts.ts';

/** What scripts take and answer; text and bytes arrive as bytes. */
export type ScriptParameter = string | number | Buffer;

type ScriptRunner = Readonly<
  Record<`${ScriptName}Buffer`, (key: string, parameters: readonly ScriptParameter[]) => Promise<unknown>>
>;

/** Redis asks for patience, or is about to become another one. */
const transient: ReadonlySet<string> = new Set([
  'LOADING',
  'BUSY',
  'TRYAGAIN',
  'MASTERDOWN',
  'READONLY',
  'CLUSTERDOWN',
]);
const pauseMs = 100;
const subject = 'reaching Redis';

/** One connection for scripts and one for wake-ups, made on first use and made again for ever. */
export class RedisStreamsConnection {
  readonly #settings: RedisStreamsSettings;
  readonly #logger: Logger;
  readonly #troubles: Troubles;
  readonly #client: Redis;
  readonly #waiting = new Set<() => void>();
  readonly #channels = new Map<string, Set<() => void>>();
  #listener: Redis | undefined;
  #wasUsed = false;
  #lastError = 'no connection yet';
  #isClosed = false;

  constructor(
    settings: RedisStreamsSettings,
    { url, redis }: Pick<RedisStreamsBackendOptions, 'url' | 'redis'>,
    logger: Logger,
    troubles: Troubles,
  ) {
    this.#settings = settings;
    this.#logger = logger;
    this.#troubles = troubles;
    const given = {
      connectTimeout: settings.connectTimeoutMs,
      socketTimeout: settings.requestTimeoutMs,
      retryStrategy: (times: number) => reconnectDelayMs(times),
      ...redis,
      lazyConnect: true,
      // A command that waits in ioredis outlives its deadline: commands wait here.
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      autoResubscribe: false,
      replyMapping: 'legacy',
    } as const satisfies RedisOptions;
    // ioredis lets a URL win over the host and the port beside it: without one they count.
    this.#client = url === undefined ? new Redis(given) : new Redis(url, given);
    for (const name of Object.keys(scripts) as ScriptName[]) {
      this.#client.defineCommand(name, { numberOfKeys: 1, lua: textOf(name) });
    }
    this.#client.on('error', this.#onError);
    this.#client.on('ready', this.#onReady);
    this.#client.on('close', this.#onClose);
  }

  /** Host and port, or the path of the socket; of a Redis that sentinels know, its name there and where they are. */
  get address(): string {
    const { host = 'localhost', port = 6_379, path, sentinels, name } = this.#client.options;
    if (sentinels != null && sentinels.length > 0)
      return `${name} of the sentinels ${sentinels.map((one) => hostAndPort(one.host ?? 'localhost', one.port ?? 26_379)).join(', ')}`;
    return path ?? hostAndPort(host, port);
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  get isReady(): boolean {
    return !this.#isClosed && this.#client.status === 'ready';
  }

  /**
   * Runs a script, again after a lost connection: each does nothing the second time, or adds a copy of the same id.
   *
   * @param deadline of `performance.now()`.
   * @throws BrokerUnavailableError without an answer by the deadline.
   * @throws MelangeError `CLOSED`.
   * @throws what Redis answers, as an error whose message is the answer, and a fault of our own, at once.
   */
  async run(script: ScriptName, parameters: readonly ScriptParameter[], deadline: number): Promise<unknown> {
    for (;;) {
      await this.#untilReady(deadline);
      try {
        const answer = await this.#by(deadline, this.#call(script, parameters));
        this.#troubles.end(subject);
        return answer;
      } catch (error) {
        const isAnswer = isReply(error);
        if (MelangeError.is(error) || isOwnFault(error)) throw error;
        if (isAnswer && !transient.has(redisErrorCode(error))) throw error;
        if (isAnswer) {
          this.#lastError = error.message;
          this.#troubles.begin(subject, error.message);
        }
        await this.#by(deadline, new Promise((resolve) => setTimeout(resolve, isAnswer ? pauseMs : 1)));
      }
    }
  }

  /** As `run`, whenever there is a connection, and once: who is to know that an answer was lost. */
  async runOnce(script: ScriptName, parameters: readonly ScriptParameter[]): Promise<unknown> {
    await this.#untilReady(Number.POSITIVE_INFINITY);
    return this.#call(script, parameters);
  }

  /** From now on calls back when there may be something new in the queue. The returned function ends that. */
  onWake(queue: string, callback: () => void): () => void {
    // Scripts are given their key with ioredis's own prefix, and derive the channel from it.
    const channel = `${this.#client.options.keyPrefix ?? ''}{${this.#settings.prefix}}:wake:${queue}`;
    const callbacks = this.#channels.get(channel) ?? new Set();
    callbacks.add(callback);
    if (!this.#channels.has(channel)) {
      this.#channels.set(channel, callbacks);
      this.#listen(channel);
    }
    return () => {
      callbacks.delete(callback);
      if (callbacks.size > 0 || this.#channels.get(channel) !== callbacks) return;
      this.#channels.delete(channel);
      if (this.#listener?.status === 'ready') this.#listener.unsubscribe(channel).catch(ignore);
    };
  }

  close(): void {
    this.#isClosed = true;
    this.#client.disconnect();
    this.#listener?.disconnect();
    for (const settle of [...this.#waiting]) settle();
    this.#troubles.forget(subject);
  }

  #listen(channel: string): void {
    if (this.#listener === undefined) {
      const listener = this.#client.duplicate();
      this.#listener = listener;
      listener.on('error', ignore);
      listener.on('message', (from: string) => this.#wake(from));
      listener.on('ready', () => {
        const channels = [...this.#channels.keys()];
        if (channels.length === 0) return;
        // What was published while nobody listened is looked for.
        const wake = (): void => channels.forEach((one) => void this.#wake(one));
        // ioredis takes a list of any length as one argument.
        listener.subscribe(channels as unknown as string).then(wake, this.#onDeaf);
      });
      listener.connect().catch(ignore);
    } else if (this.#listener.status === 'ready') {
      this.#listener.subscribe(channel).then(() => this.#wake(channel), this.#onDeaf);
    }
  }

  #wake(channel: string): void {
    for (const callback of [...(this.#channels.get(channel) ?? [])]) callback();
  }

  #untilReady(deadline: number): Promise<void> {
    if (this.#isClosed) return Promise.reject(closedError());
    if (this.#client.status === 'ready') return Promise.resolve();
    if (!this.#wasUsed) {
      this.#wasUsed = true;
      this.#client.connect().catch(ignore);
    }
    const ready = new Promise<void>((resolve, reject) => {
      const settle = (): void => {
        this.#waiting.delete(settle);
        if (this.#isClosed) reject(closedError());
        else resolve();
      };
      this.#waiting.add(settle);
    });
    return this.#by(deadline, ready);
  }

  async #call(script: ScriptName, parameters: readonly ScriptParameter[]): Promise<unknown> {
    const runner = this.#client as unknown as ScriptRunner;
    try {
      // As one argument: spread, some 100,000 would overflow the stack.
      return await runner[`${script}Buffer`](`{${this.#settings.prefix}}`, parameters);
    } catch (error) {
      // After a fail-over the address leads to another one.
      if (isReply(error) && redisErrorCode(error) === 'READONLY') this.#client.disconnect(true);
      throw error;
    }
  }

  /** Rejects at the deadline; what comes later is nobody's concern. */
  #by<Value>(deadline: number, promise: Promise<Value>): Promise<Value> {
    if (deadline === Number.POSITIVE_INFINITY) return promise;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new BrokerUnavailableError(`Redis did not answer in time: ${this.#lastError}.`)),
        Math.max(0, deadline - performance.now()),
      );
      promise.then(resolve, reject).finally(() => clearTimeout(timer));
    });
  }

  readonly #onError = (error: Error): void => {
    // The message alone: ioredis adds the command to its errors, and that of a refused login has the password.
    this.#lastError = error.message || ((error as NodeJS.ErrnoException).code ?? error.name);
  };

  readonly #onReady = (): void => {
    this.#troubles.end(subject);
    this.#lastError = 'no answer';
    for (const settle of [...this.#waiting]) settle();
  };

  /** Lost with the connection, it is done again on the next one; refused, queues are looked at every `pollMs` only. */
  readonly #onDeaf = (error: unknown): void => {
    if (!isReply(error)) return;
    this.#logger.warn('Redis refuses to wake subscribers: messages wait for up to pollMs.', {
      pollMs: this.#settings.pollMs,
      error: error.message,
    });
  };

  /** Each attempt to connect that fails closes, too. */
  readonly #onClose = (): void => {
    if (!this.#isClosed) this.#troubles.begin(subject, this.#lastError);
  };
}

/** An IPv6 address is told from its port by brackets. */
function hostAndPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** What is thrown after `close()`. */
export function closedError(): MelangeError {
  return new MelangeError('CLOSED', 'The Redis Streams backend is closed.');
}

function ignore(): void {}
