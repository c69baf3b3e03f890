import { MelangeError } from '@melange/core';
import type { Batcher } from '../client/batcher.ts';
import { asMelangeError, isLostReceipt, reasonOf } from '../errors.ts';

/**
 * SQS lets nobody hold a message for longer than twelve hours after its receive, in ms. A little less: it counts from
 * when it sent the message, which is earlier than we have it, to when a change arrives, which is later than we send it,
 * and refuses what would end beyond.
 */
const longestHoldMs = 12 * 60 * 60 * 1_000 - 30_000;

/** Extended when less than this share of the visibility timeout is left. */
const extendBelow = 0.6;

/** A change of the visibility of one message. */
export interface VisibilityChange {
  readonly receiptHandle: string;
  readonly seconds: number;
}

/** What the leases of one queue share: their requests travel in batches. */
export interface LeaseRequests {
  readonly deletes: Batcher<string>;
  readonly visibilities: Batcher<VisibilityChange>;
  readonly visibilityTimeoutSeconds: number;
  readonly warn: (message: string, reason: string) => void;
}

/**
 * Our hold on one received message: kept while it lasts, and ended by deleting the message or by giving it back. Its times
 * are those of a clock that never steps (`performance.now()`), in ms.
 */
export class Lease {
  readonly #receiptHandle: string;
  readonly #requests: LeaseRequests;
  readonly #onLost: () => void;
  readonly #receivedAt: number;
  #visibleAt: number;
  #state: 'held' | 'ending' | 'over' = 'held';
  #extending: Promise<void> | undefined;
  #isRefused = false;

  /**
   * @param receivedAt when the message was received, or a time before that: from then on SQS counts.
   * @param onLost called once when the message is not ours any more before the lease was ended.
   */
  constructor(receiptHandle: string, requests: LeaseRequests, receivedAt: number, onLost: () => void) {
    this.#receiptHandle = receiptHandle;
    this.#requests = requests;
    this.#receivedAt = receivedAt;
    this.#onLost = onLost;
    this.#visibleAt = this.#receivedAt + requests.visibilityTimeoutSeconds * 1_000;
  }

  /** Whether SQS may have given the message to somebody else. */
  hasEnded(now: number): boolean {
    return this.#visibleAt <= now;
  }

  /** For how many ms from now on the message can be held at most. */
  maxHoldMs(now: number): number {
    return this.#receivedAt + longestHoldMs - now;
  }

  /** Extends the lease when it is time to; notices when it is over. */
  keep(now: number): void {
    if (this.#state === 'over' || this.#extending !== undefined) return;
    const left = this.#visibleAt - now;
    if (left <= 0) {
      this.#lose();
      return;
    }
    const { visibilityTimeoutSeconds, visibilities } = this.#requests;
    if (this.#isRefused || left > visibilityTimeoutSeconds * 1_000 * extendBelow) return;
    const allowed = Math.floor(this.maxHoldMs(now) / 1_000);
    const seconds = Math.min(visibilityTimeoutSeconds, allowed);
    // Near the end of the twelve hours nothing is gained any more: the message comes again when they are over.
    if (seconds * 1_000 <= left) return;
    const change = { receiptHandle: this.#receiptHandle, seconds };
    this.#extending = visibilities
      .add(change, left)
      .then(
        () => {
          // From the request: SQS counts from when it took it, which is before it answers.
          this.#visibleAt = now + seconds * 1_000;
        },
        (error: unknown) => {
          if (isLostReceipt(error)) {
            this.#lose();
            return;
          }
          this.#requests.warn('cannot extend the visibility of a message', reasonOf(error));
          // Out of time the next look notices; a refusal would only be repeated.
          this.#isRefused = !MelangeError.is(error, 'BROKER_UNAVAILABLE');
        },
      )
      .finally(() => {
        this.#extending = undefined;
      });
  }

  /**
   * Deletes the message, trying while the lease lasts. Resolves also when it is not ours any more.
   *
   * @throws BrokerUnavailableError when the lease ended before SQS answered; what SQS refused the deletion for.
   */
  async delete(): Promise<void> {
    if (this.#state !== 'held') return;
    this.#state = 'ending';
    try {
      while (!(await this.#tryDelete()));
    } finally {
      this.#state = 'over';
    }
  }

  /**
   * Makes the message visible after so many seconds. Resolves also when it is not ours any more.
   *
   * @throws as `delete`.
   */
  async giveBack(seconds: number): Promise<void> {
    if (this.#state !== 'held') return;
    this.#state = 'over';
    // An extension that arrived after this change would undo it.
    await this.#extending;
    const allowed = Math.floor(this.maxHoldMs(performance.now()) / 1_000);
    const change = { receiptHandle: this.#receiptHandle, seconds: Math.max(0, Math.min(seconds, allowed)) };
    try {
      await this.#requests.visibilities.add(change, this.#leftMs());
    } catch (error) {
      if (!isLostReceipt(error)) throw asMelangeError(error);
    }
  }

  /** Answers whether there is nothing more to delete. */
  async #tryDelete(): Promise<boolean> {
    try {
      await this.#requests.deletes.add(this.#receiptHandle, this.#leftMs());
      return true;
    } catch (error) {
      if (isLostReceipt(error)) return true;
      // Extended meanwhile, there is time to try again.
      if (!MelangeError.is(error, 'BROKER_UNAVAILABLE') || this.hasEnded(performance.now()))
        throw asMelangeError(error);
      return false;
    }
  }

  #lose(): void {
    const isUnexpected = this.#state === 'held';
    this.#state = 'over';
    if (isUnexpected) this.#onLost();
  }

  #leftMs(): number {
    return Math.max(1, this.#visibleAt - performance.now());
  }
}
