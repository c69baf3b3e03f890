import { type Renewal, SharedRequests } from '@melange/backend-kit';
import type { Clock } from '@melange/core';
import { maxEntries } from '../client/batch.ts';
import type { Sqs, VisibilityChange } from '../client/sqs.ts';
import { isLostReceipt, reasonOf } from '../errors.ts';

/**
 * SQS lets nobody hold a message for longer than twelve hours after its receive, in ms. A little less: it counts from
 * when it sent the message, which is earlier than we have it, to when a change arrives, which is later than we send it,
 * and refuses what would end beyond.
 */
const longestHoldMs = 12 * 60 * 60 * 1_000 - 30_000;

/** Requests of one queue at the same time. */
export const maxRequests = 16;

/** A message, and when it was received, of the monotonic clock, in ms. */
export interface Receipt {
  readonly raw: { readonly ReceiptHandle?: string | undefined };
  readonly receivedAt: number;
}

/** Extends and ends the visibility timeouts of messages of one queue. */
export class Visibilities {
  readonly #clock: Clock;
  readonly #send: (changes: readonly VisibilityChange[]) => Promise<readonly unknown[] | undefined>;
  readonly #endings: SharedRequests<VisibilityChange>;
  readonly #extending = new Map<Receipt['raw'], Promise<unknown>>();
  readonly #ended = new WeakSet<Receipt['raw']>();

  constructor(sqs: Sqs, url: () => Promise<string>, clock: Clock) {
    this.#clock = clock;
    this.#send = async (changes) => sqs.changeVisibilities(await url(), changes);
    const limits = { maxMessages: maxEntries, maxUnderWay: maxRequests };
    this.#endings = new SharedRequests({ send: this.#send, clock, limits });
  }

  /** For how many ms from now on a message can be held at most. */
  maxHoldMs({ receivedAt }: Receipt): number {
    return receivedAt + longestHoldMs - this.#clock.monotonicNow();
  }

  /** Extends ten at most. One that would be held for more than twelve hours is not. */
  async extend<One extends Receipt>(batch: readonly One[], seconds: number): Promise<Renewal<One>> {
    const isTooLong = (one: One): boolean => this.maxHoldMs(one) < seconds * 1_000;
    const lost: One[] = [];
    const failed = batch.filter(isTooLong);
    let reason =
      failed.length > 0 ? 'SQS lets nobody hold a message for longer than twelve hours' : undefined;
    const extended = batch.filter((one) => !this.#ended.has(one.raw) && !isTooLong(one));
    if (extended.length > 0) {
      const request = this.#send(extended.map(({ raw }) => changeOf(raw, seconds)));
      for (const { raw } of extended) this.#extending.set(raw, request);
      try {
        for (const [place, error] of (await request)?.entries() ?? []) {
          if (error === undefined) continue;
          (isLostReceipt(error) ? lost : failed).push(extended[place] as One);
          reason = reasonOf(error);
        }
      } finally {
        for (const { raw } of extended) this.#extending.delete(raw);
      }
    }
    return { lost, failed, ...(reason !== undefined && { reason }) };
  }

  /** Makes a message visible after a time. Resolves also when it is not ours any more. */
  async end(receipt: Receipt, delayMs: number): Promise<void> {
    const { raw } = receipt;
    this.#ended.add(raw);
    // An extension that arrived after this change would undo it.
    await this.#extending.get(raw)?.catch(() => undefined);
    const seconds = Math.ceil(Math.min(delayMs, this.maxHoldMs(receipt)) / 1_000);
    try {
      await this.#endings.add(changeOf(raw, Math.max(0, seconds)));
    } catch (error) {
      if (!isLostReceipt(error)) throw error;
    }
  }
}

function changeOf({ ReceiptHandle: receiptHandle = '' }: Receipt['raw'], seconds: number): VisibilityChange {
  return { receiptHandle, seconds };
}
