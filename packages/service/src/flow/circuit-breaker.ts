import {
  type Clock,
  type ConsumeContext,
  type Health,
  type Logger,
  MelangeError,
  type Middleware,
  RetryLater,
  systemClock,
} from '@melange/core';
import { checkDelayMs, checkWholeNumber, describeThrown, unfailingLogger } from '@melange/core/adapter';
import {
  type CircuitBreakerPolicy,
  CircuitState,
  ConsecutiveBreaker,
  CountBreaker,
  handleWhen,
  circuitBreaker as policyOf,
} from 'cockatiel';
import type { FlowControl, FlowEnvironment, StartedFlowControl } from './flow-control.ts';
import { type Held, hold } from './hold.ts';

/** When a circuit opens, and for how long. */
export interface CircuitBreakerOptions {
  /** Failures in a row that open it. Default: 5. */
  readonly failures?: number;
  /** Opens it by the share of failures among the last messages instead. Default: `failures` counts. */
  readonly failureRate?: {
    /** Share of failures, above 0 and below 1. */
    readonly above: number;
    /** Messages that are looked at. */
    readonly of: number;
  };
  /** How long it stays open before one message tries, in ms. Default: 10,000. */
  readonly halfOpenAfterMs?: number;
  /**
   * Which errors say that what the handler needs is away. Default: all but `Reject`, which says something of its message only,
   * `RetryLater`, and what a shutdown aborted.
   */
  readonly isFailure?: (error: unknown) => boolean;
}

/**
 * Stops intake of a queue while what its handlers need is away. After so many failures the circuit is open: messages are held
 * in their place, and no more are taken from the broker than are processed at once. Then one message tries; if it
 * succeeds, all go on, else the circuit stays open. What is held, and what tries and fails, uses up no attempt. Health is
 * `degraded` meanwhile. Counting and states are `cockatiel`'s.
 *
 * @throws MelangeError `CONFIGURATION` for numbers that make no sense.
 */
export function circuitBreaker(options: CircuitBreakerOptions = {}): FlowControl {
  const { failures = 5, failureRate, halfOpenAfterMs = 10_000, isFailure = isFailureByDefault } = options;
  checkWholeNumber('failures', failures, 1);
  checkDelayMs('halfOpenAfterMs', halfOpenAfterMs);
  if (failureRate !== undefined) checkRate(failureRate);
  return {
    start(environment = {}) {
      const policy = policyOf(handleWhen(isFailure), {
        // When it is time is for the clock to say; the policy's own is the one of the wall, which steps.
        halfOpenAfter: Number.NEGATIVE_INFINITY,
        breaker:
          failureRate === undefined
            ? new ConsecutiveBreaker(failures)
            : new CountBreaker({ threshold: failureRate.above, size: failureRate.of }),
      });
      return new StartedCircuitBreaker(policy, halfOpenAfterMs, isFailure, environment);
    },
  };
}

class StartedCircuitBreaker implements StartedFlowControl {
  readonly #policy: CircuitBreakerPolicy;
  readonly #halfOpenAfterMs: number;
  readonly #isFailure: (error: unknown) => boolean;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #signal: AbortSignal | undefined;
  readonly #onHeld: () => void;
  /** Those that wait, the first to try first. */
  readonly #held = new Set<Held>();
  #openUntil = 0;
  #openSince = 0;
  #reason = '';

  constructor(
    policy: CircuitBreakerPolicy,
    halfOpenAfterMs: number,
    isFailure: (error: unknown) => boolean,
    { clock = systemClock, logger, signal, onHeld = () => undefined }: FlowEnvironment,
  ) {
    this.#policy = policy;
    this.#halfOpenAfterMs = halfOpenAfterMs;
    this.#isFailure = isFailure;
    this.#clock = clock;
    this.#logger = unfailingLogger(logger);
    this.#signal = signal;
    this.#onHeld = onHeld;
    policy.onBreak((broken) => this.#opened('error' in broken ? broken.error : undefined));
    policy.onReset(() => this.#closed());
  }

  readonly middleware: Middleware = async (context, next) => {
    while (!this.#mayRun()) await this.#untilTurn(context);
    const isTrial = this.#policy.state === CircuitState.Open;
    try {
      await this.#policy.execute(next);
    } catch (error) {
      if (!isTrial || !this.#isFailure(error)) throw error;
      throw new RetryLater(`The circuit stays open: ${describeThrown(error).message}`, {
        delayMs: this.#halfOpenAfterMs,
        cause: error,
      });
    }
  };

  get held(): number {
    return this.#held.size;
  }

  health(): Health {
    if (this.#policy.state === CircuitState.Closed) return { status: 'healthy' };
    const seconds = Math.round((this.#clock.monotonicNow() - this.#openSince) / 1_000);
    return { status: 'degraded', detail: `the circuit is open for ${seconds} s: ${this.#reason}` };
  }

  /** While it is half open, one message tries and the others wait. */
  #mayRun(): boolean {
    if (this.#policy.state === CircuitState.Closed) return true;
    return this.#policy.state === CircuitState.Open && this.#clock.monotonicNow() >= this.#openUntil;
  }

  async #untilTurn(context: ConsumeContext): Promise<void> {
    const held = hold(context, this.#clock, this.#signal, () => this.#openUntil - this.#clock.monotonicNow());
    this.#held.add(held);
    this.#onHeld();
    try {
      await held.over;
    } finally {
      this.#held.delete(held);
    }
  }

  #opened(error: unknown): void {
    const now = this.#clock.monotonicNow();
    this.#reason = describeThrown(error).message;
    if (this.#openUntil === 0) {
      this.#openSince = now;
      this.#logger.warn('a circuit opens: intake of its queue waits', { error });
    }
    this.#openUntil = now + this.#halfOpenAfterMs;
    this.#clock.schedule(() => this.#letOneTry(), this.#halfOpenAfterMs);
  }

  /** Where nobody waits, the next message that comes tries. */
  #letOneTry(): void {
    const [first] = this.#held;
    first?.resume();
  }

  #closed(): void {
    const afterMs = Math.round(this.#clock.monotonicNow() - this.#openSince);
    this.#openUntil = 0;
    this.#logger.info('a circuit closes: intake goes on', { afterMs });
    for (const held of this.#held) held.resume();
  }
}

function isFailureByDefault(error: unknown): boolean {
  if (MelangeError.is(error, 'REJECTED') || MelangeError.is(error, 'RETRY_LATER')) return false;
  return !(
    MelangeError.is(error, 'DELIVERY_ABORTED') && (error as { reason?: unknown }).reason === 'shutdown'
  );
}

function checkRate({ above, of }: { readonly above: number; readonly of: number }): void {
  checkWholeNumber('failureRate.of', of, 1);
  if (above > 0 && above < 1) return;
  throw new MelangeError('CONFIGURATION', `failureRate.above must be above 0 and below 1, not ${above}.`);
}
