import {
  type DeadLetterOptions,
  type Delivery,
  DeliveryAbortedError,
  MelangeError,
  type Message,
  type RetryOptions,
} from '@melange/core';
import type { Slotted } from '@melange/core/adapter';
import { pause } from '../client/connection.ts';
import type { Original, Received } from '../wire/received-message.ts';
import type { Acknowledger } from './acknowledger.ts';
import type { GivenBack } from './given-back.ts';

/** What a delivery needs of the backend to leave its queue for another. */
export interface Copies {
  /** Resolves when the copy is confirmed where it waits for its retry. */
  retryLater(original: Original, counts: CopyCounts, delayMs: number): Promise<void>;
  /** Resolves when the copy is confirmed in the dead-letter queue. */
  deadLetter(original: Original, attempt: number, options: DeadLetterOptions): Promise<void>;
  /** Whether the queue has a dead-letter queue; rejects when the broker does not tell. */
  hasDeadLetterQueue(): Promise<boolean>;
  /** Its queue is consumed no longer: what could not be copied is no trouble any more. */
  forgetTroubles(): void;
  readonly queue: string;
}

/** What a copy that comes again counts on from. */
export interface CopyCounts {
  /** Runs that failed before. */
  readonly failedBefore: number;
  readonly redeliveries: number;
}

/** A message whose copy could not be made goes back to its queue after so long, so that it does not spin. */
const pauseAfterFailureMs = 1_000;

/** One delivery on one channel: it is settled there, or not at all. */
export class RabbitMqDelivery implements Delivery, Slotted {
  readonly message: Message;
  readonly attempt: number;
  readonly redeliveries: number;
  slot = -1;
  readonly #received: Received;
  readonly #acknowledger: Acknowledger;
  readonly #copies: Copies;
  readonly #givenBack: GivenBack;
  readonly #onSettled: (delivery: RabbitMqDelivery) => void;
  #state: 'open' | 'settled' | 'lost' = 'open';
  #controller: AbortController | undefined;

  constructor(
    received: Received,
    acknowledger: Acknowledger,
    copies: Copies,
    givenBack: GivenBack,
    onSettled: (delivery: RabbitMqDelivery) => void,
  ) {
    this.message = received.message;
    this.attempt = received.attempt;
    this.redeliveries = givenBack.redeliveriesOf(copies.queue, received);
    this.#received = received;
    this.#acknowledger = acknowledger;
    this.#copies = copies;
    this.#givenBack = givenBack;
    this.#onSettled = onSettled;
  }

  get isAborted(): boolean {
    return this.#state === 'lost';
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#state === 'lost') this.#controller.abort(lostError());
    }
    return this.#controller.signal;
  }

  async acknowledge(): Promise<void> {
    if (!this.#begin()) return;
    const written = this.#acknowledger.acknowledge(this.#tag);
    await written;
    this.#leave();
  }

  async retry({ delayMs = 0, because = 'failed' }: RetryOptions = {}): Promise<void> {
    if (!this.#begin()) return;
    const counts: CopyCounts = {
      failedBefore: because === 'failed' ? this.attempt : this.attempt - 1,
      redeliveries: because === 'not-run' ? this.redeliveries : 0,
    };
    await this.#leaveBy(() => this.#copies.retryLater(this.#received.original(), counts, delayMs));
  }

  async deadLetter(options: DeadLetterOptions): Promise<void> {
    if (this.#state === 'open') await this.#assertDeadLetterQueue();
    if (!this.#begin()) return;
    await this.#leaveBy(
      () => this.#copies.deadLetter(this.#received.original(), this.attempt, options),
      (error) => this.#leaveToBroker(error),
    );
  }

  async release(): Promise<void> {
    if (!this.#begin()) return;
    this.#giveBack();
  }

  /** The channel is gone: the broker delivers the message again. */
  lose(): void {
    if (this.#state === 'open') this.#controller?.abort(lostError());
    this.#state = 'lost';
    this.#onSettled(this);
  }

  get #tag(): number {
    return this.#received.tag;
  }

  /** Leaves the delivery open when there is none; when that cannot be told, dead-lettering fails later and gives it back. */
  async #assertDeadLetterQueue(): Promise<void> {
    const { queue } = this.#copies;
    if (await this.#copies.hasDeadLetterQueue().catch(() => true)) return;
    throw new MelangeError(
      'CONFIGURATION',
      `Queue "${queue}" has no dead-letter queue: declare it with one.`,
    );
  }

  /** Whether there is something to settle. */
  #begin(): boolean {
    if (this.#state === 'lost') return false;
    if (this.#state === 'settled') {
      throw new MelangeError('DELIVERY_SETTLED', `Message ${this.message.id} was settled already.`);
    }
    this.#state = 'settled';
    return true;
  }

  /** Acknowledges here only what is confirmed elsewhere. */
  async #leaveBy(
    copy: () => Promise<void>,
    otherwise: (error: unknown) => Promise<boolean> = async () => false,
  ): Promise<void> {
    try {
      await copy();
    } catch (error) {
      if (await otherwise(error)) return;
      await pause(pauseAfterFailureMs);
      this.#giveBack();
      throw error;
    }
    await this.#acknowledger.acknowledge(this.#tag);
    this.#leave();
  }

  #giveBack(): void {
    // What was lost meanwhile is with the broker already.
    if (this.#state !== 'lost') this.#givenBack.add(this.#copies.queue, this.#received);
    this.#acknowledger.giveBack(this.#tag);
    this.#onSettled(this);
  }

  /** It is settled, and not by giving it back. */
  #leave(): void {
    this.#givenBack.forget(this.#copies.queue, this.#received);
    this.#onSettled(this);
  }

  /**
   * The broker holds a message that it would not take from us: it dead-letters such a message itself, whole but
   * without the reason. Only where the dead-letter queue is known to be there: without one it would be dropped.
   */
  async #leaveToBroker(error: unknown): Promise<boolean> {
    if (!MelangeError.is(error, 'MESSAGE_TOO_LARGE')) return false;
    if (!(await this.#copies.hasDeadLetterQueue().catch(() => false))) return false;
    this.#acknowledger.reject(this.#tag);
    this.#leave();
    return true;
  }
}

function lostError(): DeliveryAbortedError {
  return new DeliveryAbortedError(
    'connection-lost',
    'The channel that delivered the message is gone; it comes again.',
  );
}
