import {
  type AbortReason,
  type DeadLetterOptions,
  type Delivery,
  DeliveryAbortedError,
  type MaybePromise,
  MelangeError,
  type Message,
  type RetryOptions,
} from '@melange/core';
import type { Slotted } from '@melange/core/adapter';
import { Reading } from '../wire/message.ts';
import type { Assignment } from './assignment.ts';
import type { Entry } from './entry.ts';
import type { KafkaSubscription } from './subscription.ts';

/** Who carries out what becomes of a delivery. */
export interface Settlements {
  readonly queue: string;
  readonly deadLetterQueue: string | undefined;
  finish(delivery: KafkaDelivery): void;
  putBack(delivery: KafkaDelivery): void;
  retry(delivery: KafkaDelivery, options: RetryOptions): Promise<void>;
  deadLetter(delivery: KafkaDelivery, options: DeadLetterOptions): Promise<void>;
}

/** One handing-over of a record, settled once. */
export class KafkaDelivery implements Delivery, Slotted {
  readonly message: Message;
  readonly attempt: number;
  readonly redeliveries: number;
  readonly entry: Entry;
  readonly assignment: Assignment;
  slot = -1;
  readonly #settlements: Settlements;
  readonly #subscription: KafkaSubscription;
  #state: 'open' | 'settled' | 'lost' = 'open';
  #controller: AbortController | undefined;
  #abortedWith: DeliveryAbortedError | undefined;

  constructor(
    entry: Entry,
    assignment: Assignment,
    settlements: Settlements,
    subscription: KafkaSubscription,
  ) {
    const reading = new Reading(entry.record);
    this.message = reading.message(entry.key);
    const { attempt, redeliveries } = entry.again ?? reading;
    this.attempt = attempt;
    this.redeliveries = redeliveries + entry.tracker.crashes.redeliveriesOf(entry.offset);
    this.entry = entry;
    this.assignment = assignment;
    this.#settlements = settlements;
    this.#subscription = subscription;
  }

  get isAborted(): boolean {
    return this.#state === 'lost';
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#abortedWith !== undefined) this.#controller.abort(this.#abortedWith);
    }
    return this.#controller.signal;
  }

  /** There is nothing to wait for: it is committed with those of others. */
  acknowledge(): MaybePromise<void> {
    if (this.#state === 'settled') return Promise.reject(this.#settledAlready());
    if (this.#settle()) this.#settlements.finish(this);
  }

  async retry(options: RetryOptions = {}): Promise<void> {
    if (this.#settle()) await this.#settlements.retry(this, options);
  }

  async release(): Promise<void> {
    if (this.#settle()) this.#settlements.putBack(this);
  }

  async deadLetter(options: DeadLetterOptions): Promise<void> {
    const { queue, deadLetterQueue } = this.#settlements;
    if (this.#state === 'open' && deadLetterQueue === undefined) {
      throw new MelangeError(
        'CONFIGURATION',
        `Queue "${queue}" has no dead-letter queue: declare it with one.`,
      );
    }
    if (this.#settle()) await this.#settlements.deadLetter(this, options);
  }

  /** Takes the delivery away from its handler: the record comes again, here or elsewhere. False if it was settled. */
  lose(reason: AbortReason, why: string): boolean {
    if (this.#state !== 'open') return false;
    this.#state = 'lost';
    this.#abortedWith = new DeliveryAbortedError(reason, why);
    this.#controller?.abort(this.#abortedWith);
    this.#subscription.settled();
    return true;
  }

  /** Whether the settlement counts; false when the delivery was lost and comes again. */
  #settle(): boolean {
    if (this.#state === 'lost') return false;
    if (this.#state === 'settled') throw this.#settledAlready();
    this.#state = 'settled';
    this.#subscription.settled();
    return true;
  }

  #settledAlready(): MelangeError {
    return new MelangeError('DELIVERY_SETTLED', `Message ${this.message.id} was settled already.`);
  }
}
