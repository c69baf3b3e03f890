import {
  type AbortReason,
  type DeadLetterOptions,
  type Delivery,
  DeliveryAbortedError,
  MelangeError,
  type Message,
  type RetryOptions,
} from '@melange/core';
import { checkDelayMs, deadLetterCopy } from '@melange/core/adapter';
import { type EntryFields, fromEntry, hasRoomFor, toCopy, toDeadLetter } from '../wire.ts';

/** An entry that was taken from a stream. */
export interface TakenEntry {
  readonly id: string;
  /** How often Redis gave it to somebody, this time included. */
  readonly deliveries: number;
  /** Of `performance.now()`: from before it was asked for, so that its lease cannot have begun earlier. */
  readonly askedAt: number;
  readonly fields: readonly Buffer[];
}

/** What deliveries ask of their subscription. Each resolves when Redis has done it, or the entry was not ours any more. */
export interface Settlements {
  readonly queue: string;
  readonly deadLetterQueue: string | undefined;
  acknowledge(id: string): Promise<void>;
  retry(id: string, again: ComesAgain): Promise<void>;
  deadLetter(id: string, deadLetterQueue: string, copy: EntryFields): Promise<void>;
  release(id: string): Promise<void>;
  /** Makes room for the next delivery. */
  settled(delivery: RedisStreamsDelivery): void;
}

/** How an entry comes again. */
export interface ComesAgain {
  readonly failedAttempts: number;
  readonly redeliveries: number;
  readonly delayMs: number;
  /** What takes its place. Default: the same. */
  readonly copy?: EntryFields;
}

/** One handing-over of an entry, settled once. */
export class RedisStreamsDelivery implements Delivery {
  readonly message: Message;
  readonly attempt: number;
  readonly redeliveries: number;
  readonly id: string;
  /** Of `performance.now()`: a moment from which its lease lasts at least. */
  leasedAt: number;
  readonly #entry: TakenEntry;
  readonly #settlements: Settlements;
  #state: 'open' | 'settled' | 'lost' = 'open';
  #controller: AbortController | undefined;
  #lostBy: DeliveryAbortedError | undefined;

  constructor(entry: TakenEntry, settlements: Settlements) {
    const { message, failedAttempts, redeliveries } = fromEntry(entry.id, entry.fields);
    this.message = message;
    this.attempt = failedAttempts + 1;
    this.redeliveries = redeliveries + Math.max(0, entry.deliveries - 1);
    this.id = entry.id;
    this.leasedAt = entry.askedAt;
    this.#entry = entry;
    this.#settlements = settlements;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#lostBy !== undefined) this.#controller.abort(this.#lostBy);
    }
    return this.#controller.signal;
  }

  get isAborted(): boolean {
    return this.#lostBy !== undefined;
  }

  async acknowledge(): Promise<void> {
    await this.#settle(() => this.#settlements.acknowledge(this.id));
  }

  async retry({ delayMs = 0, because = 'failed' }: RetryOptions = {}): Promise<void> {
    checkDelayMs('delayMs', delayMs);
    await this.#settle(() => {
      const { fields } = this.#entry;
      return this.#settlements.retry(this.id, {
        failedAttempts: because === 'failed' ? this.attempt : this.attempt - 1,
        redeliveries: because === 'not-run' ? this.redeliveries : 0,
        delayMs,
        ...(!hasRoomFor(fields) && { copy: toCopy(fromEntry(this.id, fields).message) }),
      });
    });
  }

  async release(): Promise<void> {
    await this.#settle(() => this.#settlements.release(this.id));
  }

  async deadLetter(options: DeadLetterOptions): Promise<void> {
    const { queue, deadLetterQueue } = this.#settlements;
    if (deadLetterQueue === undefined) {
      if (this.#state !== 'open') return this.#settle(async () => {});
      const text = `Queue "${queue}" has no dead-letter queue: declare it with one.`;
      throw new MelangeError('CONFIGURATION', text);
    }
    await this.#settle(() => {
      // What Redis delivered, whatever the handler did to its copy.
      const { fields } = this.#entry;
      const original = fromEntry(this.id, fields).message;
      const copy = deadLetterCopy(original, options, { queue, attempts: this.attempt, at: Date.now() });
      return this.#settlements.deadLetter(this.id, deadLetterQueue, toDeadLetter(fields, copy));
    });
  }

  /** Taken away from its handler: it comes again, here or elsewhere. False when it was settled, or lost, before. */
  lose(reason: AbortReason, why: string): boolean {
    if (this.#state !== 'open') return false;
    this.#state = 'lost';
    this.#lostBy = new DeliveryAbortedError(reason, why);
    this.#controller?.abort(this.#lostBy);
    this.#settlements.settled(this);
    return true;
  }

  async #settle(settle: () => Promise<void>): Promise<void> {
    if (this.#state === 'lost') return;
    if (this.#state === 'settled')
      throw new MelangeError('DELIVERY_SETTLED', `Message ${this.message.id} was settled already.`);
    this.#state = 'settled';
    try {
      await settle();
    } finally {
      this.#settlements.settled(this);
    }
  }
}
