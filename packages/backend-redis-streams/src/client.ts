import { type ConnectionDriver, type DriverContext, reconnectDelayMs } from '@melange/backend-kit';
import { Redis, type RedisOptions } from 'ioredis';
import { isReply, redisErrorCode } from './errors.ts';
import type { RedisStreamsBackendOptions, RedisStreamsSettings } from './options.ts';

/** What scripts take; text and bytes come back as bytes. */
export type ScriptParameter = string | number | Buffer;

type Runner = (key: string, parameters: readonly ScriptParameter[]) => Promise<unknown>;

/** One connection for scripts, which the kit makes again, and one for wake-ups, which ioredis makes again by itself. */
export class RedisClient implements ConnectionDriver {
  readonly timeoutMs: number;
  readonly #settings: RedisStreamsSettings;
  readonly #context: DriverContext;
  readonly #client: Redis;
  /** By the text of the script. */
  readonly #runners = new Map<string, Runner>();
  readonly #channels = new Map<string, Set<() => void>>();
  #listener: Redis | undefined;
  #lastError = 'it closed the connection';

  constructor(
    settings: RedisStreamsSettings,
    { url, redis }: Pick<RedisStreamsBackendOptions, 'url' | 'redis'>,
    context: DriverContext,
  ) {
    this.timeoutMs = settings.connectTimeoutMs;
    this.#settings = settings;
    this.#context = context;
    const given = {
      connectTimeout: settings.connectTimeoutMs,
      socketTimeout: settings.requestTimeoutMs,
      ...redis,
      lazyConnect: true,
      // The kit repeats what has no answer, and connects again.
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      retryStrategy: () => null,
      sentinelRetryStrategy: () => null,
      autoResubscribe: false,
      replyMapping: 'legacy',
    } as const satisfies RedisOptions;
    // ioredis lets a URL win over the host and the port beside it: without one they count.
    this.#client = url === undefined ? new Redis(given) : new Redis(url, given);
    // The message alone: ioredis adds the command to its errors, and that of a refused login has the password.
    this.#client.on('error', (error: Error) => {
      this.#lastError = error.message || ((error as NodeJS.ErrnoException).code ?? error.name);
    });
    this.#client.on('close', () => context.connectionLost(this.#lastError));
  }

  /** Host and port, or the path of the socket; of a Redis that sentinels know, its name there and where they are. */
  get address(): string {
    const { host = 'localhost', port = 6_379, path, sentinels, name } = this.#client.options;
    if (sentinels != null && sentinels.length > 0)
      return `${name} of the sentinels ${sentinels.map((one) => hostAndPort(one.host ?? 'localhost', one.port ?? 26_379)).join(', ')}`;
    return path ?? hostAndPort(host, port);
  }

  async connect(): Promise<void> {
    // ioredis says that the connection is closed; its event has said why.
    await this.#client.connect().catch(() => {
      throw new Error(this.#lastError);
    });
    this.#lastError = 'it closed the connection';
  }

  /** Runs a script once. */
  async run(script: string, parameters: readonly ScriptParameter[]): Promise<unknown> {
    const runner = this.#runners.get(script) ?? this.#define(script);
    try {
      // As one argument: spread, some 100,000 would overflow the stack.
      return await runner(`{${this.#settings.prefix}}`, parameters);
    } catch (error) {
      // After a fail-over the address leads to another Redis.
      if (isReply(error) && redisErrorCode(error) === 'READONLY') {
        this.#lastError = error.message;
        this.#client.disconnect();
      }
      throw error;
    }
  }

  /** From now on calls back when there may be something new in the queue. The returned function ends that. */
  onWake(queue: string, callback: () => void): () => void {
    // Scripts are given their key with ioredis's own prefix, and derive the channel from it.
    const channel = `${this.#client.options.keyPrefix ?? ''}{${this.#settings.prefix}}:wake:${queue}`;
    const callbacks = this.#channels.get(channel) ?? new Set();
    callbacks.add(callback);
    if (!this.#channels.has(channel)) {
      this.#channels.set(channel, callbacks);
      this.#listener ??= this.#listen();
      if (this.#listener.status === 'ready') this.#subscribe(this.#listener, [channel]);
    }
    return () => {
      callbacks.delete(callback);
      if (callbacks.size > 0 || this.#channels.get(channel) !== callbacks) return;
      this.#channels.delete(channel);
      if (this.#listener?.status === 'ready') this.#listener.unsubscribe(channel).catch(ignore);
    };
  }

  close(): void {
    this.#client.disconnect();
    this.#listener?.disconnect();
  }

  #define(script: string): Runner {
    const name = `script${this.#runners.size}`;
    this.#client.defineCommand(name, { numberOfKeys: 1, lua: script });
    const runner = (this.#client as unknown as Record<string, Runner>)[`${name}Buffer`] as Runner;
    const bound = runner.bind(this.#client);
    this.#runners.set(script, bound);
    return bound;
  }

  #listen(): Redis {
    const retryStrategy = (times: number): number => reconnectDelayMs(times);
    const listener = this.#client.duplicate({ retryStrategy, sentinelRetryStrategy: retryStrategy });
    listener.on('error', ignore);
    listener.on('message', (channel: string) => this.#wake(channel));
    listener.on('ready', () => this.#subscribe(listener, [...this.#channels.keys()]));
    listener.connect().catch(ignore);
    return listener;
  }

  #subscribe(listener: Redis, channels: readonly string[]): void {
    if (channels.length === 0) return;
    // What was published while nobody listened is looked for.
    const wake = (): void => channels.forEach((channel) => void this.#wake(channel));
    // ioredis takes a list of any length as one argument.
    listener.subscribe(channels as unknown as string).then(wake, this.#onDeaf);
  }

  #wake(channel: string): void {
    for (const callback of [...(this.#channels.get(channel) ?? [])]) callback();
  }

  /** Lost with the connection, it is done again on the next one; refused, queues are looked at every `pollMs` only. */
  readonly #onDeaf = (error: unknown): void => {
    if (!isReply(error)) return;
    this.#context.logger.warn('Redis refuses to wake subscribers: messages wait for up to pollMs.', {
      pollMs: this.#settings.pollMs,
      error: error.message,
    });
  };
}

/** An IPv6 address is told from its port by brackets. */
function hostAndPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

function ignore(): void {}
