import {
  type AbortReason,
  type DeadLetterOptions,
  type Delivery,
  DeliveryAbortedError,
  deadLetterCopy,
  MelangeError,
  type Message,
} from '@melange/core';
import {
  attemptOf,
  type EntryFields,
  fromEntry,
  hasRoomFor,
  toCopy,
} from './redis-streams-message-mapper.ts';

/** An entry that was taken from a stream. */
export interface TakenEntry {
  readonly id: string;
  /** How often Redis gave it to somebody, this time included. */
  readonly deliveries: number;
  readonly fields: readonly Buffer[];
}

/** What deliveries ask of their subscription. Each resolves when Redis has done it, or the entry was not ours any more. */
export interface Settlements {
  readonly queue: string;
  readonly deadLetterQueue: string | undefined;
  acknowledge(id: string): Promise<void>;
  /** @param copy what takes its place. Default: the same. */
  retry(id: string, attemptsMade: number, delayMs: number, copy?: EntryFields): Promise<void>;
  deadLetter(id: string, deadLetterQueue: string, copy: EntryFields): Promise<void>;
  release(id: string): Promise<void>;
  /** Makes room for the next delivery. */
  settled(delivery: RedisStreamsDelivery): void;
}

/** One handing-over of an entry, settled once. */
export class RedisStreamsDelivery implements Delivery {
  readonly message: Message;
  readonly attempt: number;
  readonly id: string;
  readonly #entry: TakenEntry;
  readonly #settlements: Settlements;
  #state: 'open' | 'settled' | 'lost' = 'open';
  #controller: AbortController | undefined;
  #lostBy: DeliveryAbortedError | undefined;

  constructor(entry: TakenEntry, settlements: Settlements) {
    this.message = fromEntry(entry.id, entry.fields);
    this.attempt = attemptOf(entry.fields, entry.deliveries);
    this.id = entry.id;
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

  async acknowledge(): Promise<void> {
    await this.#settle(() => this.#settlements.acknowledge(this.id));
  }

  async retry(options?: { readonly delayMs?: number }): Promise<void> {
    await this.#settle(() => {
      const { fields } = this.#entry;
      const copy = hasRoomFor(fields) ? undefined : toCopy(fromEntry(this.id, fields));
      return this.#settlements.retry(this.id, this.attempt, options?.delayMs ?? 0, copy);
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
      const original = fromEntry(this.id, this.#entry.fields);
      const copy = deadLetterCopy(original, options, { queue, attempts: this.attempt, at: Date.now() });
      return this.#settlements.deadLetter(this.id, deadLetterQueue, toCopy(copy));
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
