import type { Clock } from '../contract/clock.ts';
import type { Health } from '../contract/health.ts';
import type { Logger } from '../contract/logger.ts';
import { describeThrown } from '../errors.ts';
import type { Work } from './work.ts';

/** Pauses between requests to a cache that does not answer, in ms: the first one, and the longest. */
const firstPauseMs = 100;
const maxPauseMs = 5_000;
/** An outage that has lasted for so many ms is `unhealthy`. */
const unhealthyAfterMs = 30_000;
/** When nobody has asked the cache for so long, in ms, nothing is known of it. */
const forgottenAfterMs = 60_000;

/**
 * Whether the deduplication cache can be reached, and the messages that wait until it can. During an outage one message at
 * a time asks the cache, with growing pauses. The others wait in this process, unsettled: the broker counts nothing
 * against them.
 */
export class CacheOutage {
  readonly #clock: Clock;
  readonly #onBegin: (error: unknown) => void;
  readonly #onEnd: (afterMs: number) => void;
  /** Messages that wait, in the order of arrival: called with true when it may ask the cache, with false when its wait is ended. */
  readonly #waiting = new Set<(mayAsk: boolean) => void>();
  #present: { readonly error: unknown; readonly since: number } | undefined;
  /** When the cache failed last. */
  #failedAt = 0;
  #pauseMs = firstPauseMs;
  /** Cancels the pause; `undefined` while there is none. */
  #endPause: (() => void) | undefined;

  /** `onBegin` and `onEnd` are called once for each outage. */
  constructor(clock: Clock, onBegin: (error: unknown) => void, onEnd: (afterMs: number) => void) {
    this.#clock = clock;
    this.#onBegin = onBegin;
    this.#onEnd = onEnd;
  }

  /** The failure that began the outage; `undefined` without an outage. */
  get error(): unknown {
    return this.#present?.error;
  }

  /** The cache failed. */
  failed(error: unknown): void {
    this.#failedAt = this.#clock.monotonicNow();
    if (this.#present === undefined) {
      this.#present = { error, since: this.#clock.monotonicNow() };
      this.#pauseMs = firstPauseMs;
      this.#onBegin(error);
    }
    if (this.#endPause === undefined) this.#pause();
  }

  /** The cache answered: an outage is over, and every message may ask it. */
  answered(): void {
    if (this.#present === undefined) return;
    const { since } = this.#present;
    this.#present = undefined;
    this.#endPause?.();
    this.#endPause = undefined;
    this.#onEnd(this.#clock.monotonicNow() - since);
    for (const proceed of [...this.#waiting]) proceed(true);
  }

  /** Whether the caller may ask the cache now: always without an outage; during one, a single caller after each pause. */
  mayAsk(): boolean {
    if (this.#present === undefined) return true;
    if (this.#endPause !== undefined) return false;
    this.#pause();
    return true;
  }

  /** Resolves with true when the message may ask the cache; with false when its wait was ended first. */
  turn(work: Work): Promise<boolean> {
    if (this.mayAsk()) return Promise.resolve(true);
    return new Promise((resolve) => {
      const { signal } = work.delivery;
      const proceed = (mayAsk: boolean): void => {
        this.#waiting.delete(proceed);
        signal.removeEventListener('abort', giveUp);
        work.endWait = undefined;
        resolve(mayAsk);
      };
      const giveUp = (): void => proceed(false);
      if (signal.aborted) {
        resolve(false);
        return;
      }
      signal.addEventListener('abort', giveUp, { once: true });
      work.endWait = giveUp;
      this.#waiting.add(proceed);
    });
  }

  /** An idle worker learns of no end: it is healthy again when it has not asked for a minute, and asks with its next message. */
  health(): Health {
    const now = this.#clock.monotonicNow();
    if (this.#present === undefined || now - this.#failedAt >= forgottenAfterMs) return { status: 'healthy' };
    const ageMs = now - this.#present.since;
    const { message } = describeThrown(this.#present.error);
    return {
      status: ageMs >= unhealthyAfterMs ? 'unhealthy' : 'degraded',
      detail: `deduplication cache unreachable for ${Math.round(ageMs / 1_000)} s: ${message}`,
    };
  }

  #pause(): void {
    this.#endPause = this.#clock.schedule(() => {
      this.#endPause = undefined;
      const [first] = this.#waiting;
      if (first === undefined) return;
      this.#pause();
      first(true);
    }, this.#pauseMs);
    this.#pauseMs = Math.min(this.#pauseMs * 2, maxPauseMs);
  }
}

/** A `CacheOutage` that writes a log line when an outage begins and when it ends. */
export function loggedOutage(
  logger: Logger,
  clock: Clock,
  onUnavailable: 'retry' | 'process' = 'retry',
): CacheOutage {
  const messages = onUnavailable === 'retry' ? 'wait in hand' : 'are processed without it';
  const beginning = `the deduplication cache does not answer: messages ${messages} until it does`;
  return new CacheOutage(
    clock,
    (error) => logger.warn(beginning, { error }),
    (afterMs) => logger.info('the deduplication cache answers again', { afterMs: Math.round(afterMs) }),
  );
}
