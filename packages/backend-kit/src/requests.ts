import { BrokerUnavailableError, type Clock, MelangeError, QueueNotFoundError } from '@melange/core';
import { pause } from './connection.ts';
import type { Fault } from './driver.ts';
import type { Troubles } from './health/troubles.ts';
import { reconnectDelayMs } from './reconnect-delay.ts';

/** What asking the broker about its topology needs. */
export interface RequestSettings {
  /** Technology, for messages. */
  readonly name: string;
  readonly clock: Clock;
  readonly random: () => number;
  readonly timeoutMs: number;
  readonly troubles: Troubles;
  readonly explain: (error: unknown) => Fault;
  /** Resolves when the broker can be asked; rejects at once when it cannot be reached. Nothing where there is no connection. */
  readonly acquire: () => Promise<void> | undefined;
}

/** A queue or topic that could not be asked about is of interest for so long after the last try, in ms. */
const forgottenAfterMs = 60_000;

/** Asks the broker in bounded time. Requests are idempotent: one that was not answered is made again. */
export class Requests {
  readonly #settings: RequestSettings;
  #isClosed = false;

  constructor(settings: RequestSettings) {
    this.#settings = settings;
  }

  /** Nothing is asked again: the backend is closed. */
  close(): void {
    this.#isClosed = true;
  }

  /**
   * The broker's answer.
   *
   * @param subject queue or topic that the request is about.
   * @param maxTryMs longest time of one try. It is tried again for `timeoutMs` in all.
   * @throws QueueNotFoundError, BrokerUnavailableError, MelangeError `CLOSED`, and the driver's own MelangeErrors.
   */
  async ask<Answer>(
    subject: string,
    request: () => Promise<Answer>,
    maxTryMs: number = this.#settings.timeoutMs,
  ): Promise<Answer> {
    const { clock, random, timeoutMs, explain, acquire, troubles } = this.#settings;
    const acquiring = acquire();
    // Without a connection the driver is asked in the turn of the call.
    if (acquiring !== undefined) await acquiring;
    const trouble = `asking about "${subject}"`;
    const begun = clock.monotonicNow();
    for (let attempt = 1; ; attempt += 1) {
      try {
        const answer = await this.#within(begun + maxTryMs - clock.monotonicNow(), maxTryMs, request());
        troubles.end(trouble);
        return answer;
      } catch (error) {
        if (this.#isClosed) throw this.#closedError();
        const fault = explain(error);
        // Melange's own error says which queue or topic it is.
        if (fault.kind === 'missing') throw MelangeError.is(error) ? error : new QueueNotFoundError(subject);
        if (fault.kind === 'refused') throw fault.error;
        const delayMs = reconnectDelayMs(attempt, random());
        if (clock.monotonicNow() + delayMs >= begun + timeoutMs) {
          troubles.begin(trouble, fault.reason);
          troubles.rest(trouble, forgottenAfterMs);
          throw this.#unavailable(fault.reason);
        }
        await pause(clock, delayMs);
        if (this.#isClosed) throw this.#closedError();
      }
    }
  }

  #within<Answer>(leftMs: number, maxTryMs: number, answer: Promise<Answer>): Promise<Answer> {
    const { clock } = this.#settings;
    return new Promise((resolve, reject) => {
      const late = (): void => reject(this.#unavailable(`no answer within ${maxTryMs} ms`));
      const cancel = clock.schedule(late, Math.max(0, leftMs));
      answer.then(resolve, reject).finally(cancel);
    });
  }

  #closedError(): MelangeError {
    return new MelangeError('CLOSED', `The ${this.#settings.name} backend is closed.`);
  }

  #unavailable(reason: string): MelangeError {
    return new BrokerUnavailableError(`${this.#settings.name} did not do it: ${reason}.`);
  }
}
