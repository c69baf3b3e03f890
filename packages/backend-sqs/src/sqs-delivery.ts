import {
  type AbortReason,
  type DeadLetterOptions,
  type Delivery,
  DeliveryAbortedError,
  MelangeError,
  type Message,
} from '@melange/core';
import type { Lease } from './lease.ts';
import { attemptOf, fromSqs, type ReceivedMessage } from './sqs-message-mapper.ts';

/** What a delivery needs of its receiver. */
export interface DeliveryContext {
  /** Whether the queue keeps the order of its groups. */
  readonly keepsOrder: boolean;
  /** Resolves when the copy is taken by the dead-letter queue. */
  deadLetter(received: ReceivedMessage, options: DeadLetterOptions): Promise<void>;
  /** Rejects with `CONFIGURATION` when the queue has no dead-letter queue. */
  assertDeadLetterQueue(): Promise<void>;
  /** Called when somebody settles it, or when it is lost. */
  onSettling(delivery: SqsDelivery): void;
  /** Called when the deletion of its message waits for its batch. */
  onDeleting(): void;
  /** Called before the message goes back to its queue: what must not overtake it goes back first. */
  onGoingBack(delivery: SqsDelivery): Promise<void>;
  /** Called once when the delivery is over; done means that its message has left the queue. */
  onOver(delivery: SqsDelivery, isDone: boolean): void;
}

/** A message whose copy could not be made goes back to its queue after so long, so that it does not spin. */
const pauseAfterFailureSeconds = 1;

/** One received message. */
export class SqsDelivery implements Delivery {
  readonly message: Message;
  readonly attempt: number;
  readonly lease: Lease;
  /** Group whose order the queue keeps. */
  readonly groupId: string | undefined;
  readonly #received: ReceivedMessage;
  readonly #context: DeliveryContext;
  #state: 'open' | 'settled' | 'lost' = 'open';
  #isOver = false;
  #controller: AbortController | undefined;
  #abortReason: DeliveryAbortedError | undefined;

  constructor(received: ReceivedMessage, context: DeliveryContext, lease: (onLost: () => void) => Lease) {
    this.message = fromSqs(received);
    this.attempt = attemptOf(received);
    // On a standard queue a group is a matter of fair shares, and has no order.
    this.groupId = context.keepsOrder ? received.Attributes?.MessageGroupId : undefined;
    this.#received = received;
    this.#context = context;
    this.lease = lease(() => this.lose('lease-lost'));
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#abortReason !== undefined) this.#controller.abort(this.#abortReason);
    }
    return this.#controller.signal;
  }

  async acknowledge(): Promise<void> {
    if (!this.#begin()) return;
    await this.#leave();
  }

  async retry(options?: { readonly delayMs?: number }): Promise<void> {
    if (!this.#begin()) return;
    await this.#goBack(Math.ceil((options?.delayMs ?? 0) / 1_000));
  }

  async deadLetter(options: DeadLetterOptions): Promise<void> {
    if (this.#state === 'open') await this.#context.assertDeadLetterQueue();
    if (!this.#begin()) return;
    try {
      await this.#context.deadLetter(this.#received, options);
    } catch (error) {
      await this.#goBack(pauseAfterFailureSeconds).catch(() => undefined);
      throw error;
    }
    await this.#leave();
  }

  async release(): Promise<void> {
    if (!this.#begin()) return;
    await this.#goBack(0);
  }

  /** The message is not ours any more: it comes again. Without effect on a delivery that is being settled. */
  lose(reason: AbortReason): void {
    if (this.#state !== 'open') return;
    this.#state = 'lost';
    this.#abortReason = new DeliveryAbortedError(reason, abortTexts[reason] ?? reason);
    this.#controller?.abort(this.#abortReason);
    this.#context.onSettling(this);
    this.#end(false);
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
      const deleted = this.lease.delete();
      this.#context.onDeleting();
      await deleted;
      isDone = true;
    } finally {
      this.#end(isDone);
    }
  }

  async #goBack(seconds: number): Promise<void> {
    try {
      await this.#context.onGoingBack(this);
      await this.lease.giveBack(seconds);
    } finally {
      this.#end(false);
    }
  }

  #end(isDone: boolean): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#context.onOver(this, isDone);
  }
}

const abortTexts: Partial<Record<AbortReason, string>> = {
  'lease-lost': 'The visibility of the message could not be extended; it comes again.',
  shutdown: 'The backend was closed; the message comes again.',
};
