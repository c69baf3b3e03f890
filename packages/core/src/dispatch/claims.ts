import type { Claim, ClaimToken, DeduplicationCache } from '../contract/cache.ts';
import { checkDelayMs } from '../contract/check-number.ts';
import type { Clock } from '../contract/clock.ts';
import type { Health } from '../contract/health.ts';
import { isPromise, type MaybePromise } from '../contract/maybe-promise.ts';
import { describeThrown, MelangeError } from '../errors.ts';
import type { CacheOutage } from './cache-outage.ts';
import { Slots, type Slotted } from './slots.ts';
import type { Work } from './work.ts';

/** How the dispatcher uses its deduplication cache. */
export interface DeduplicationOptions {
  /** How long a claim outlives a worker that died, in ms; renewed while the handler runs. Default: 30,000. */
  readonly leaseMs?: number;
  /** Longest wait for one answer of the cache, in ms. Default: 5,000. */
  readonly timeoutMs?: number;
  /**
   * What happens to messages while the cache cannot be reached. `retry`: those that were received wait in hand, as the
   * same attempt, until it answers, and no others are started, so that nothing runs twice. `process`: they are processed
   * without a claim, so that nothing waits. Default: `retry`.
   */
  readonly onUnavailable?: 'retry' | 'process';
}

/** A claim that this process holds. `expiresAt` counts from before the request, so the store's lease never ends earlier. */
export interface OwnClaim {
  readonly status: 'claimed';
  readonly token: ClaimToken;
  readonly expiresAt: number;
}

/** The answer of the cache; a claim that was granted with its expiry. */
export type ClaimAnswer = OwnClaim | Exclude<Claim, { status: 'claimed' }>;

/** A claim is given up that failed so often while the cache answered others: its key is at fault. */
const maxRefusals = 3;

interface Held extends Slotted {
  readonly token: ClaimToken;
  readonly onLost: (unanswered: unknown) => void;
  expiresAt: number;
}

/** Claims keys with bounded waits and renews them, all on one timer, while their handlers run. */
export class ClaimKeeper {
  readonly onUnavailable: 'retry' | 'process';
  readonly #outage: CacheOutage;
  readonly #cache: DeduplicationCache;
  readonly #clock: Clock;
  readonly #leaseMs: number;
  readonly #timeoutMs: number;
  readonly #held = new Slots<Held>();
  #cancelTimer: (() => void) | undefined;

  constructor(cache: DeduplicationCache, clock: Clock, options: DeduplicationOptions, outage: CacheOutage) {
    this.#cache = cache;
    this.#clock = clock;
    // A lease shorter than a timer's resolution would be renewed without a pause.
    this.#leaseMs = checkDelayMs('leaseMs', options.leaseMs ?? 30_000, 1);
    this.#timeoutMs = checkDelayMs('timeoutMs', options.timeoutMs ?? 5_000, 1);
    this.onUnavailable = options.onUnavailable ?? 'retry';
    this.#outage = outage;
  }

  /**
   * Returns a promise only where the cache does.
   *
   * @throws MelangeError `CACHE_UNAVAILABLE` when the cache fails or does not answer in time; during an outage at once,
   * except for the one caller that may ask whether it is over.
   */
  claim(key: string): MaybePromise<ClaimAnswer> {
    if (this.#outage.mayAsk()) return this.#ask(key);
    throw this.#outage.error;
  }

  /**
   * Claims as soon as the cache answers. `undefined` when the wait of the message was ended first.
   *
   * @throws MelangeError `CACHE_UNAVAILABLE` when the cache answers others, and failed for this key `maxRefusals` times.
   */
  async claimOnceAnswered(key: string, work: Work): Promise<ClaimAnswer | undefined> {
    for (let refusals = 0; ; ) {
      if (!(await this.#outage.turn(work))) return undefined;
      const isOver = this.#outage.error === undefined;
      try {
        return await this.#ask(key);
      } catch (unavailable) {
        if (isOver) refusals += 1;
        if (refusals === maxRefusals) throw unavailable;
      }
    }
  }

  #ask(key: string): MaybePromise<ClaimAnswer> {
    const expiresAt = this.#clock.monotonicNow() + this.#leaseMs;
    const ask = (): MaybePromise<Claim> => this.#cache.claim(key, { leaseMs: this.#leaseMs });
    // A claim that is granted after the timeout is used by nobody: unreleased, it would hold up the message until its lease ends.
    const giveUp = (late: Claim): void => void (late.status === 'claimed' && this.release(late.token));
    const claim = this.#bounded(ask, this.#timeoutMs, giveUp);
    return isPromise(claim) ? claim.then((answer) => until(expiresAt, answer)) : until(expiresAt, claim);
  }

  /**
   * Renews the claim until the returned function is called. Calls `onLost` when another process may hold it, with the error
   * where the cache did not answer.
   */
  keep({ token, expiresAt }: OwnClaim, onLost: (unanswered: unknown) => void): () => void {
    const held: Held = { token, onLost, expiresAt, slot: -1 };
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

  /** False when the claim was lost before. Returns a promise, and throws, as `claim` does. */
  confirm(token: ClaimToken): MaybePromise<boolean> {
    return this.#bounded(() => this.#cache.confirm(token));
  }

  /** Never throws: a claim that cannot be released ends with its lease. */
  async release(token: ClaimToken): Promise<void> {
    try {
      await this.#bounded(() => this.#cache.release(token));
    } catch {
      // `#failed` has reported the outage.
    }
  }

  /** Whether the cache answers. */
  health(): Health {
    return this.#outage.health();
  }

  #startTimer(): void {
    this.#cancelTimer ??= this.#clock.schedule(() => {
      this.#cancelTimer = undefined;
      for (const held of this.#held.all()) void this.#renew(held);
      if (this.#held.size > 0) this.#startTimer();
    }, this.#untilNextLookMs());
  }

  /** A third of a lease; sooner where a lease ends before, which was not renewed. */
  #untilNextLookMs(): number {
    const now = this.#clock.monotonicNow();
    let waitMs = this.#leaseMs / 3;
    for (const { expiresAt } of this.#held.all()) waitMs = Math.min(waitMs, Math.max(0, expiresAt - now));
    return waitMs;
  }

  async #renew(held: Held): Promise<void> {
    const asked = this.#clock.monotonicNow();
    // When the lease has ended another process may hold the claim: no answer is waited for beyond that.
    const leftMs = held.expiresAt - asked;
    let isRefused = false;
    try {
      isRefused = leftMs > 0 && !(await this.#extend(held.token, Math.min(leftMs, this.#timeoutMs)));
      if (leftMs > 0 && !isRefused) {
        held.expiresAt = asked + this.#leaseMs;
        return;
      }
    } catch {
      // The store may still hold the lease: it is lost only when its time has run out.
      if (this.#clock.monotonicNow() < held.expiresAt) return;
    }
    if (this.#held.delete(held)) held.onLost(isRefused ? undefined : this.#outage.error);
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
      if (isPromise(answer))
        return this.#withDeadline(answer, timeoutMs, onLate).catch((error) => this.#failed(error));
      this.#outage.answered();
      return answer;
    } catch (error) {
      return this.#failed(error);
    }
  }

  #failed(error: unknown): never {
    const unavailable = asUnavailable(error);
    this.#outage.failed(unavailable);
    throw unavailable;
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
        this.#outage.answered();
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

/** Adds its expiry to a claim that was granted. */
function until(expiresAt: number, claim: Claim): ClaimAnswer {
  return claim.status === 'claimed' ? { status: 'claimed', token: claim.token, expiresAt } : claim;
}

function asUnavailable(error: unknown): MelangeError {
  if (MelangeError.is(error, 'CACHE_UNAVAILABLE')) return error;
  const { message } = describeThrown(error);
  return new MelangeError('CACHE_UNAVAILABLE', `The deduplication cache failed: ${message}`, {
    cause: error,
  });
}
