import { BrokerUnavailableError, type Clock, type Logger, MelangeError } from '@melange/core';
import { publishReconnect } from '@melange/core/adapter';
import type { ConnectionDriver, Fault } from './driver.ts';
import { reasonOf } from './explain.ts';
import type { Troubles } from './health/troubles.ts';
import { reconnectDelayMs } from './reconnect-delay.ts';

/** What keeping a connection needs. */
export interface ConnectionSettings {
  /** Technology, for messages. */
  readonly name: string;
  /** Work that it is for, where there is more than one connection. */
  readonly purpose?: string;
  readonly driver: ConnectionDriver;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly troubles: Troubles;
  readonly random: () => number;
  readonly explain: (error: unknown) => Fault;
  /** Called on each connection but the first, before anybody else may use it. A rejection counts as a connection that failed. */
  readonly onReconnected: () => Promise<void>;
}

/**
 * The connection to a broker. It is made when it is first needed; the first try is made once, so that a wrong address
 * is told at once. One that was lost is made again, with growing pauses, until the close.
 */
export class Connection {
  readonly #settings: ConnectionSettings;
  readonly #closing = new AbortController();
  #state: 'none' | 'connecting' | 'connected' | 'lost' = 'none';
  #connecting: Promise<void> | undefined;
  #lastReason = 'no connection yet';
  readonly #subject: string;

  constructor(settings: ConnectionSettings) {
    this.#settings = settings;
    const { purpose } = settings;
    this.#subject = purpose === undefined ? 'being connected' : `being connected for ${purpose}`;
  }

  /** Nothing when the broker can be asked at once; else a promise that resolves when it can be. */
  ready(): Promise<void> | undefined {
    if (this.#state === 'connected') return undefined;
    if (this.#closing.signal.aborted) return Promise.reject(this.#closedError());
    if (this.#state === 'none') this.#connecting = this.#connectOnce();
    return this.#connecting;
  }

  /**
   * As `ready`, but for no longer than the time to connect.
   *
   * @throws BrokerUnavailableError, MelangeError `CLOSED`.
   */
  async acquire(): Promise<void> {
    const connecting = this.ready();
    if (connecting === undefined) return;
    const { clock, driver } = this.#settings;
    await new Promise<void>((resolve, reject) => {
      const late = (): void => {
        this.#settings.troubles.begin(this.#subject, this.#lastReason);
        reject(this.#unavailable(this.#lastReason));
      };
      const cancel = clock.schedule(late, driver.timeoutMs);
      connecting.then(resolve, reject).finally(cancel);
    });
  }

  /** The connection is gone: another one is made. */
  lost(reason: string): void {
    if (this.#state !== 'connected' || this.#closing.signal.aborted) return;
    this.#lastReason = reason;
    this.#settings.troubles.begin(this.#subject, reason);
    this.#connecting = this.#reconnect();
    this.#connecting.catch(() => undefined);
  }

  /** No connection is made any more; who waits for one is refused. */
  close(): void {
    this.#closing.abort();
  }

  async #connectOnce(): Promise<void> {
    this.#state = 'connecting';
    try {
      await this.#connect();
      this.#connected();
    } catch (error) {
      this.#state = 'none';
      throw this.#closing.signal.aborted ? this.#closedError() : this.#refusal(error);
    }
  }

  async #reconnect(): Promise<void> {
    this.#state = 'lost';
    const { clock, random, driver, troubles, onReconnected } = this.#settings;
    for (let attempt = 1; ; attempt += 1) {
      await pause(clock, reconnectDelayMs(attempt, random()), this.#closing.signal);
      if (this.#closing.signal.aborted) throw this.#closedError();
      try {
        await this.#connect();
        await onReconnected();
        this.#connected();
        publishReconnect({ backend: this.#settings.name });
        return;
      } catch (error) {
        if (this.#closing.signal.aborted) throw this.#closedError();
        this.#state = 'lost';
        this.#lastReason = this.#reasonOf(error);
        troubles.begin(this.#subject, `${driver.address} cannot be reached: ${this.#lastReason}`);
      }
    }
  }

  async #connect(): Promise<void> {
    await this.#settings.driver.connect(this.#closing.signal);
    if (this.#closing.signal.aborted) throw this.#closedError();
  }

  #connected(): void {
    this.#state = 'connected';
    this.#settings.troubles.end(this.#subject);
  }

  #reasonOf(error: unknown): string {
    const fault = this.#settings.explain(error);
    return fault.kind === 'unavailable' ? fault.reason : reasonOf(error);
  }

  #refusal(error: unknown): MelangeError {
    this.#lastReason = this.#reasonOf(error);
    this.#settings.troubles.begin(this.#subject, this.#lastReason);
    return this.#unavailable(this.#lastReason);
  }

  /** Without `cause`: client libraries quote addresses with their passwords. */
  #unavailable(reason: string): BrokerUnavailableError {
    const { name, driver } = this.#settings;
    return new BrokerUnavailableError(`${name} at ${driver.address} cannot be reached: ${reason}.`);
  }

  #closedError(): MelangeError {
    return new MelangeError('CLOSED', `The ${this.#settings.name} backend is closed.`);
  }
}

/** Resolves after so many ms, or when `signal` is aborted. */
export function pause(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) {
      resolve();
      return;
    }
    const end = (): void => {
      cancel();
      signal?.removeEventListener('abort', end);
      resolve();
    };
    const cancel = clock.schedule(end, delayMs);
    signal?.addEventListener('abort', end);
  });
}
