import {
  type AbortReason,
  type DeadLetterOptions,
  type Delivery,
  DeliveryAbortedError,
  MelangeError,
  type Message,
  type RetryOptions,
} from '@melange/core';
import { checkDelayMs } from '@melange/core/adapter';
import { fromSqs } from '../wire/message.ts';
import type { Counts } from './attempt-memory.ts';
import type { Held } from './held-messages.ts';

/** What a delivery needs of its receiver. */
export interface DeliveryContext {
  /** Resolves when the copy is taken by the dead-letter queue. */
  deadLetter(held: Held, options: DeadLetterOptions): Promise<void>;
  /** Rejects with `CONFIGURATION` when the queue has no dead-letter queue. */
  assertDeadLetterQueue(): Promise<void>;
  /** Called when somebody settles it, or when it is lost. */
  onSettling(delivery: SqsDelivery): void;
  /** Called when the deletion of its message waits for its batch. */
  onDeleting(): void;
  /** Has the message come again after so many ms; the delivery is over when this resolves or rejects. */
  comeAgain(delivery: SqsDelivery, delayMs: number, next: Counts): Promise<void>;
  /** Gives the message back as it came; the delivery is over when this resolves or rejects. */
  release(delivery: SqsDelivery): Promise<void>;
  /** Called once when the delivery is over without coming again that way; done means that its message has left the queue. */
  onOver(delivery: SqsDelivery, isDone: boolean): void;
}

/** A message whose copy could not be made comes again after so long, so that it does not spin. */
const pauseAfterFailureMs = 1_000;

/** One handing over of a message. */
export class SqsDelivery implements Delivery {
  readonly message: Message;
  readonly attempt: number;
  readonly redeliveries: number;
  readonly held: Held;
  readonly #context: DeliveryContext;
  #state: 'open' | 'settled' | 'lost' = 'open';
  #controller: AbortController | undefined;
  #abortReason: DeliveryAbortedError | undefined;

  constructor(held: Held, context: DeliveryContext) {
    this.message = fromSqs(held.received);
    this.attempt = held.counts.attempt;
    this.redeliveries = held.counts.redeliveries;
    this.held = held;
    this.#context = context;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#abortReason !== undefined) this.#controller.abort(this.#abortReason);
    }
    return this.#controller.signal;
  }

  get isAborted(): boolean {
    return this.#abortReason !== undefined;
  }

  async acknowledge(): Promise<void> {
    if (!this.#begin()) return;
    await this.#leave();
  }

  async retry({ delayMs = 0, because = 'failed' }: RetryOptions = {}): Promise<void> {
    checkDelayMs('delayMs', delayMs);
    if (!this.#begin()) return;
    const { attempt, redeliveries } = this;
    await this.#context.comeAgain(this, delayMs, {
      attempt: because === 'failed' ? attempt + 1 : attempt,
      redeliveries: because === 'not-run' ? redeliveries : 0,
    });
  }

  async deadLetter(options: DeadLetterOptions): Promise<void> {
    if (this.#state === 'open') await this.#context.assertDeadLetterQueue();
    if (!this.#begin()) return;
    try {
      await this.#context.deadLetter(this.held, options);
    } catch (error) {
      // As the same attempt: a further one might be past the last.
      const { attempt, redeliveries } = this;
      await this.#context
        .comeAgain(this, pauseAfterFailureMs, { attempt, redeliveries })
        .catch(() => undefined);
      throw error;
    }
    await this.#leave();
  }

  async release(): Promise<void> {
    if (!this.#begin()) return;
    await this.#context.release(this);
  }

  /**
   * The message is not ours any more: it comes again. Answers whether it was; a delivery that is being settled stays as it
   * is.
   */
  lose(reason: AbortReason): boolean {
    if (this.#state !== 'open') return false;
    this.#state = 'lost';
    this.#abortReason = new DeliveryAbortedError(reason, abortTexts[reason] ?? reason);
    this.#controller?.abort(this.#abortReason);
    this.#context.onSettling(this);
    return true;
  }

  /** Whether there is something to settle. */
  #begin(): boolean {
    if (this.#state === 'lost') return false;
    if (this.#state === 'settled') {
      throw new MelangeError('DELIVERY_SETTLED', `Message ${this.message.id} was settled already.`);
    }
    this.#state = 'settled';
    this.#context.onSettling(this);
    return true;
  }

  async #leave(): Promise<void> {
    let isDone = false;
    try {
      const deleted = this.held.lease.delete();
      this.#context.onDeleting();
      await deleted;
      isDone = true;
    } finally {
      this.#context.onOver(this, isDone);
    }
  }
}

const abortTexts: Partial<Record<AbortReason, string>> = {
  'lease-lost': 'The visibility of the message could not be extended; it comes again.',
  shutdown: 'The backend was closed; the message comes again.',
};
