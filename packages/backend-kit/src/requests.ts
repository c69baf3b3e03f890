import { BrokerUnavailableError, type Clock, type MelangeError, QueueNotFoundError } from '@melange/core';
import { pause } from './connection.ts';
import type { Fault } from './driver.ts';
import { reconnectDelayMs } from './reconnect-delay.ts';

/** What asking the broker about its topology needs. */
export interface RequestSettings {
  /** Technology, for messages. */
  readonly name: string;
  readonly clock: Clock;
  readonly random: () => number;
  readonly timeoutMs: number;
  readonly explain: (error: unknown) => Fault;
  /** Resolves when the broker can be asked; rejects at once when it cannot be reached. Nothing where there is no connection. */
  readonly acquire: () => Promise<void> | undefined;
}

/** Asks the broker in bounded time. Requests are idempotent: one that was not answered is made again. */
export class Requests {
  readonly #settings: RequestSettings;

  constructor(settings: RequestSettings) {
    this.#settings = settings;
  }

  /**
   * The broker's answer.
   *
   * @param subject queue or topic that the request is about.
   * @throws QueueNotFoundError, BrokerUnavailableError, and the driver's own MelangeErrors.
   */
  async ask<Answer>(subject: string, request: () => Promise<Answer>): Promise<Answer> {
    const { clock, random, timeoutMs, explain, acquire } = this.#settings;
    const acquiring = acquire();
    // Without a connection the driver is asked in the turn of the call.
    if (acquiring !== undefined) await acquiring;
    const until = clock.monotonicNow() + timeoutMs;
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#within(until - clock.monotonicNow(), request());
      } catch (error) {
        const fault = explain(error);
        if (fault.kind === 'missing') throw new QueueNotFoundError(subject);
        if (fault.kind === 'refused') throw fault.error;
        const delayMs = reconnectDelayMs(attempt, random());
        if (clock.monotonicNow() + delayMs >= until) throw this.#unavailable(fault.reason);
        await pause(clock, delayMs);
      }
    }
  }

  #within<Answer>(timeoutMs: number, answer: Promise<Answer>): Promise<Answer> {
    const { clock } = this.#settings;
    return new Promise((resolve, reject) => {
      const late = (): void => reject(this.#unavailable(`no answer within ${this.#settings.timeoutMs} ms`));
      const cancel = clock.schedule(late, Math.max(0, timeoutMs));
      answer.then(resolve, reject).finally(cancel);
    });
  }

  #unavailable(reason: string): MelangeError {
    return new BrokerUnavailableError(`${this.#settings.name} did not do it: ${reason}.`);
  }
}
