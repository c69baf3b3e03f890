import type { Cluster, Redis } from 'ioredis';
import { before } from './deadline.ts';
import type { ScriptRunner } from './deduplication-script.ts';
import type { OpenedClient } from './redis-client.ts';

/** Knows whether the client can take a command now, and since when it cannot. */
export class RedisConnection {
  readonly isCluster: boolean;
  readonly #client: Redis | Cluster;
  readonly #isOwn: boolean;
  readonly #timeoutMs: number;
  readonly #waiting = new Set<() => void>();
  readonly #onReadyAgain: (() => void)[] = [];
  #wasReady = false;
  #unreadySince = performance.now();
  #lastError: string | undefined;
  #reconnectedAt = Number.NEGATIVE_INFINITY;

  constructor({ client, isOwn }: OpenedClient, timeoutMs: number) {
    this.#client = client;
    this.#isOwn = isOwn;
    this.#timeoutMs = timeoutMs;
    this.isCluster = client.isCluster;
    this.#wasReady = client.status === 'ready';
    client.on('error', this.#onError);
    client.on('ready', this.#onReady);
    client.on('close', this.#onClose);
    client.on('end', this.#onClose);
    // Of the application, or ours by its setting: nobody else would.
    if (client.status === 'wait') client.connect().catch(this.#onError);
  }

  get runner(): ScriptRunner {
    return this.#client as ScriptRunner;
  }

  /** Calls back whenever a connection was made. */
  onEveryReady(callback: () => void): void {
    this.#onReadyAgain.push(callback);
  }

  /**
   * What the key holds, by Redis's name of the type; `none` when it does not exist. Rejects when that is not told within
   * the timeout: clients of the application may wait for ever.
   */
  typeOf(key: string): Promise<string> {
    return before(performance.now() + this.#timeoutMs, this.#client.type(key));
  }

  /**
   * Resolves when a command can be sent; rejects at `deadline` (of `performance.now()`), or at once when the
   * connection has been missing for a whole timeout already: who asks then need not wait as well.
   */
  untilReady(deadline: number): Promise<void> | undefined {
    if (this.#client.status === 'ready') return undefined;
    if (this.#client.status === 'end') return Promise.reject(new Error(`The client is closed${this.#why()}`));
    const milliseconds = Math.min(deadline, this.#unreadySince + this.#timeoutMs) - performance.now();
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(settle);
        if (this.#client.status === 'ready') resolve();
        else reject(new Error(`No connection${this.#why()}`));
      };
      const timer = setTimeout(settle, Math.max(0, milliseconds));
      this.#waiting.add(settle);
    });
  }

  /**
   * For a server that became read-only: after a fail-over the address leads to another one. Not oftener than once
   * in a timeout, and never with a client of the application.
   */
  reconnect(): void {
    const now = performance.now();
    if (!this.#isOwn || now - this.#reconnectedAt < this.#timeoutMs) return;
    this.#reconnectedAt = now;
    this.#client.disconnect(true);
  }

  /** Ends our own client, politely within the timeout; leaves that of the application as it was. */
  async close(): Promise<void> {
    if (this.#isOwn) {
      if (this.#client.status === 'ready') {
        const timer = setTimeout(() => this.#client.disconnect(), this.#timeoutMs);
        await this.#client.quit().catch(() => undefined);
        clearTimeout(timer);
      }
      this.#client.disconnect();
      for (const settle of [...this.#waiting]) settle();
      // An error that a dying connection still reports is nobody's concern, but without a listener it is printed.
      return;
    }
    this.#client.off('error', this.#onError);
    this.#client.off('ready', this.#onReady);
    this.#client.off('close', this.#onClose);
    this.#client.off('end', this.#onClose);
  }

  #why(): string {
    return this.#lastError === undefined ? '' : `: ${this.#lastError}`;
  }

  readonly #onError = (error: Error): void => {
    this.#lastError = textOf(error);
  };

  readonly #onReady = (): void => {
    this.#lastError = undefined;
    this.#wasReady = true;
    for (const settle of [...this.#waiting]) settle();
    for (const callback of this.#onReadyAgain) callback();
  };

  /** The first of several: each attempt to connect that fails closes, too. */
  readonly #onClose = (): void => {
    if (this.#wasReady) this.#unreadySince = performance.now();
    this.#wasReady = false;
    if (this.#client.status === 'end') for (const settle of [...this.#waiting]) settle();
  };
}

/** The message alone: ioredis adds the command to its errors, and that of a refused login has the password. */
export function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const nested = (error as { lastNodeError?: unknown }).lastNodeError;
  if (nested instanceof Error && nested.message !== '') return `${error.message} ${nested.message}`;
  const code = (error as NodeJS.ErrnoException).code;
  return error.message === '' ? (code ?? error.name) : error.message;
}
