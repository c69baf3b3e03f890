import { checkDelayMs } from './check-number.ts';
import type { Clock } from './clock.ts';
import {
  type Claim,
  type ClaimToken,
  type DeduplicationCache,
  isPromise,
  type MaybePromise,
} from './deduplication-cache.ts';
import { MelangeError } from './errors.ts';
import { describeThrown } from './thrown.ts';

/** How the dispatcher uses its deduplication cache. */
export interface DeduplicationOptions {
  /** How long a claim outlives a worker that died, in ms; renewed while the handler runs. Default: 30,000. */
  readonly leaseMs?: number;
  /** Longest wait for one answer of the cache, in ms. Default: 5,000. */
  readonly timeoutMs?: number;
  /**
   * What happens to messages while the cache cannot be reached: `retry` them later, so that nothing runs
   * twice, or `process` them without a claim, so that nothing waits. Default: `retry`.
   */
  readonly onUnavailable?: 'retry' | 'process';
}

/** A claim of ours, and how long it is surely so: from before it was asked for. */
export interface OwnClaim {
  readonly status: 'claimed';
  readonly token: ClaimToken;
  readonly expiresAt: number;
}

interface Held {
  readonly token: ClaimToken;
  readonly onLost: () => void;
  expiresAt: number;
}

/** Claims keys with bounded waits and renews them, all on one timer, while their handlers run. */
export class ClaimKeeper {
  readonly onUnavailable: 'retry' | 'process';
  readonly #cache: DeduplicationCache;
  readonly #clock: Clock;
  readonly #leaseMs: number;
  readonly #timeoutMs: number;
  readonly #onError: (error: unknown) => void;
  readonly #held = new Set<Held>();
  #cancelTimer: (() => void) | undefined;

  constructor(
    cache: DeduplicationCache,
    clock: Clock,
    options: DeduplicationOptions,
    onError: (error: unknown) => void,
  ) {
    this.#cache = cache;
    this.#clock = clock;
    // Shorter than a timer's step, a lease would be renewed without a pause.
    this.#leaseMs = checkDelayMs('leaseMs', options.leaseMs ?? 30_000, 1);
    this.#timeoutMs = checkDelayMs('timeoutMs', options.timeoutMs ?? 5_000, 1);
    this.onUnavailable = options.onUnavailable ?? 'retry';
    this.#onError = onError;
  }

  /**
   * The promise of the claim only where the cache answers with one.
   *
   * @throws MelangeError `CACHE_UNAVAILABLE` when the cache fails or does not answer in time.
   */
  claim(key: string): MaybePromise<OwnClaim | Exclude<Claim, { status: 'claimed' }>> {
    const expiresAt = this.#clock.monotonicNow() + this.#leaseMs;
    const ask = (): MaybePromise<Claim> => this.#cache.claim(key, { leaseMs: this.#leaseMs });
    // Nobody knows of a claim whose answer came too late: the message would wait for its lease to end.
    const giveUp = (late: Claim): void => void (late.status === 'claimed' && this.release(late.token));
    const claim = this.#bounded(ask, this.#timeoutMs, giveUp);
    return isPromise(claim) ? claim.then((answer) => until(expiresAt, answer)) : until(expiresAt, claim);
  }

  /** Renews the claim until the returned function is called; `onLost` when it is no longer ours. */
  keep({ token, expiresAt }: OwnClaim, onLost: () => void): () => void {
    const held: Held = { token, onLost, expiresAt };
    this.#held.add(held);
    this.#startTimer();
    return () => {
      this.#held.delete(held);
      // A timer with nothing to renew would keep the process alive.
      if (this.#held.size > 0) return;
      this.#cancelTimer?.();
      this.#cancelTimer = undefined;
    };
  }

  /** False when the claim was lost before. Answers, or throws, as `claim`. */
  confirm(token: ClaimToken): MaybePromise<boolean> {
    return this.#bounded(() => this.#cache.confirm(token));
  }

  /** Never throws: a claim that cannot be released ends with its lease. */
  async release(token: ClaimToken): Promise<void> {
    try {
      await this.#bounded(() => this.#cache.release(token));
    } catch (error) {
      this.#onError(error);
    }
  }

  #startTimer(): void {
    this.#cancelTimer ??= this.#clock.schedule(() => {
      this.#cancelTimer = undefined;
      for (const held of this.#held) void this.#renew(held);
      if (this.#held.size > 0) this.#startTimer();
    }, this.#untilNextLookMs());
  }

  /** A third of a lease; sooner where a lease ends before, which was not renewed. */
  #untilNextLookMs(): number {
    const now = this.#clock.monotonicNow();
    let waitMs = this.#leaseMs / 3;
    for (const { expiresAt } of this.#held) waitMs = Math.min(waitMs, Math.max(0, expiresAt - now));
    return waitMs;
  }

  async #renew(held: Held): Promise<void> {
    const asked = this.#clock.monotonicNow();
    // From when the lease ends somebody else may have it: that is the longest wait for an answer.
    const leftMs = held.expiresAt - asked;
    let ours = false;
    try {
      ours = leftMs > 0 && (await this.#extend(held.token, Math.min(leftMs, this.#timeoutMs)));
      if (ours) held.expiresAt = asked + this.#leaseMs;
    } catch (error) {
      this.#onError(error);
      // The store may still hold the lease: it is lost only when its time has run out.
      ours = this.#clock.monotonicNow() < held.expiresAt;
    }
    if (!ours && this.#held.delete(held)) held.onLost();
  }

  #extend(token: ClaimToken, timeoutMs: number): MaybePromise<boolean> {
    return this.#bounded(() => this.#cache.extend(token, { leaseMs: this.#leaseMs }), timeoutMs);
  }

  #bounded<T>(
    ask: () => MaybePromise<T>,
    timeoutMs: number = this.#timeoutMs,
    onLate: (answer: T) => void = () => undefined,
  ): MaybePromise<T> {
    try {
      const answer = ask();
      return isPromise(answer)
        ? this.#withDeadline(answer, timeoutMs, onLate).catch(throwUnavailable)
        : answer;
    } catch (error) {
      throwUnavailable(error);
    }
  }

  #withDeadline<T>(answer: PromiseLike<T>, timeoutMs: number, onLate: (answer: T) => void): Promise<T> {
    return new Promise((resolve, reject) => {
      let isLate = false;
      const cancel = this.#clock.schedule(() => {
        isLate = true;
        reject(new Error(`no answer within ${timeoutMs} ms`));
      }, timeoutMs);
      const answered = (value: T): void => {
        cancel();
        if (isLate) onLate(value);
        else resolve(value);
      };
      answer.then(answered, (error: unknown) => {
        cancel();
        reject(error);
      });
    });
  }
}

/** Adds to a claim of ours how long it is one. */
function until(expiresAt: number, claim: Claim): OwnClaim | Exclude<Claim, { status: 'claimed' }> {
  return claim.status === 'claimed' ? { status: 'claimed', token: claim.token, expiresAt } : claim;
}

function throwUnavailable(error: unknown): never {
  if (MelangeError.is(error, 'CACHE_UNAVAILABLE')) throw error;
  const { message } = describeThrown(error);
  throw new MelangeError('CACHE_UNAVAILABLE', `The deduplication cache failed: ${message}`, { cause: error });
}
