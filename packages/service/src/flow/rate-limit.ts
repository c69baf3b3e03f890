import {
  type Clock,
  type ConsumeContext,
  type Health,
  type Logger,
  type Middleware,
  RetryLater,
  systemClock,
} from '@melange/core';
import { checkDelayMs, checkWholeNumber, unfailingLogger } from '@melange/core/adapter';
import { RateLimiterMemory } from 'rate-limiter-flexible';
import type { FlowControl, FlowEnvironment, Limiter, StartedFlowControl } from './flow-control.ts';
import { hold } from './hold.ts';

/** How many messages are processed in which time. */
export interface RateLimitOptions {
  /** Messages, at most. */
  readonly messages: number;
  /** In that time, in ms. */
  readonly perMs: number;
  /** `queue`: of all together. `key`: of each ordering key; messages without one are not limited. Default: `queue`. */
  readonly by?: 'queue' | 'key';
  /**
   * Counts across processes: a limiter of `rate-limiter-flexible`, such as its `RateLimiterRedis`, with the same numbers.
   * Default: counts in this process.
   */
  readonly limiter?: Limiter;
}

/** A limiter that does not answer is asked again after so long. */
const pauseAfterErrorMs = 1_000;

/**
 * Processes no more messages than so many in a time. By queue, messages over it are held in their place, so that intake
 * waits. By key, they go back to their queue until it is time, and messages of other keys go on; with `ordering: 'key'`
 * they keep their order. Neither uses up an attempt. Counting is `rate-limiter-flexible`'s: windows of a fixed length,
 * which begin with their first message.
 *
 * @throws MelangeError `CONFIGURATION` for numbers that make no sense.
 */
export function rateLimit(options: RateLimitOptions): FlowControl {
  const { messages, perMs, by = 'queue' } = options;
  checkWholeNumber('messages', messages, 1);
  checkDelayMs('perMs', perMs);
  return {
    start(environment = {}) {
      const limiter =
        environment.limiter?.(messages, perMs) ??
        options.limiter ??
        new RateLimiterMemory({ points: messages, duration: perMs / 1_000 });
      return new StartedRateLimit(limiter, by, perMs, environment);
    },
  };
}

class StartedRateLimit implements StartedFlowControl {
  readonly #limiter: Limiter;
  readonly #by: 'queue' | 'key';
  readonly #perMs: number;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #signal: AbortSignal | undefined;
  readonly #onHeld: () => void;
  #isAnswering = true;
  #held = 0;

  constructor(limiter: Limiter, by: 'queue' | 'key', perMs: number, environment: FlowEnvironment) {
    this.#limiter = limiter;
    this.#by = by;
    this.#perMs = perMs;
    this.#clock = environment.clock ?? systemClock;
    this.#logger = unfailingLogger(environment.logger);
    this.#signal = environment.signal;
    this.#onHeld = environment.onHeld ?? (() => undefined);
  }

  readonly middleware: Middleware = async (context, next) => {
    const key = this.#by === 'queue' ? 'queue' : context.key;
    if (key !== undefined) {
      for (let waitMs = await this.#take(key); waitMs > 0; waitMs = await this.#take(key)) {
        if (this.#by === 'key')
          throw new RetryLater(`Over the rate limit of the key "${key}".`, { delayMs: waitMs });
        await this.#wait(context, waitMs);
      }
    }
    await next();
  };

  get held(): number {
    return this.#held;
  }

  /** That it holds messages back is its purpose; that nobody knows how many is not. */
  health(): Health {
    return this.#isAnswering
      ? { status: 'healthy' }
      : { status: 'degraded', detail: 'the rate limiter does not answer' };
  }

  /** How long to wait, in ms; 0 when the message may go on. */
  async #take(key: string): Promise<number> {
    try {
      await this.#limiter.consume(key);
      this.#answers();
      return 0;
    } catch (refused) {
      const { msBeforeNext } = refused as { msBeforeNext?: unknown };
      if (typeof msBeforeNext === 'number') {
        this.#answers();
        // A limiter reads the clock of the wall: where that was set back, it would have everything wait for long.
        return Math.min(Math.max(msBeforeNext, 1), this.#perMs);
      }
      if (this.#isAnswering)
        this.#logger.warn('a rate limiter does not answer: messages wait until it does', { error: refused });
      this.#isAnswering = false;
      return pauseAfterErrorMs;
    }
  }

  #answers(): void {
    if (!this.#isAnswering) this.#logger.info('a rate limiter answers again');
    this.#isAnswering = true;
  }

  async #wait(context: ConsumeContext, waitMs: number): Promise<void> {
    const until = this.#clock.monotonicNow() + waitMs;
    const held = hold(context, this.#clock, this.#signal, () => until - this.#clock.monotonicNow());
    const cancel = this.#clock.schedule(held.resume, waitMs);
    this.#held += 1;
    this.#onHeld();
    try {
      await held.over;
    } finally {
      this.#held -= 1;
      cancel();
    }
  }
}
