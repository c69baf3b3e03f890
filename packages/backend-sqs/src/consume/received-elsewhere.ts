import type { DriverContext } from '@melange/backend-kit';
import { type DeadLetterOptions, MelangeError, type Message, QueueNotFoundError } from '@melange/core';
import { deadLetterCopy } from '@melange/core/adapter';
import type { Sqs } from '../client/sqs.ts';
import { isLostReceipt } from '../errors.ts';
import { isFifo } from '../topology/names.ts';
import type { Queues } from '../topology/queues.ts';
import { fromSqs, type ReceivedMessage as ReadMessage } from '../wire/message.ts';
import type { AttemptMemory } from './attempt-memory.ts';
import type { DeadLetters } from './dead-letters.ts';
import type { Visibilities } from './visibilities.ts';

/** A message as SQS hands it out, under the names of its API. */
export interface ReceivedMessage extends ReadMessage {
  /** Id that SQS gave. */
  readonly MessageId: string;
  /** Settles this receive of the message. */
  readonly ReceiptHandle: string;
}
/** One receive of a message, by somebody else. It stays with SQS, and comes again, unless it is deleted by either. */
export interface SqsReceipt {
  /** The message as it was published. */
  readonly message: Message;
  /** As `Delivery.attempt`. */
  readonly attempt: number;
  /** As `Delivery.redeliveries`. */
  readonly redeliveries: number;
  /** The group whose order a FIFO queue keeps; `undefined` on a standard queue. */
  readonly groupId: string | undefined;
  /** Deletes the message. @throws BrokerUnavailableError */
  delete(): Promise<void>;
  /**
   * Makes the message visible after so many ms, in whole seconds, rounded up, 12 hours at most. When it comes to this
   * process again, it is with these counts.
   *
   * @throws BrokerUnavailableError
   */
  giveBack(delayMs: number, next: Pick<SqsReceipt, 'attempt' | 'redeliveries'>): Promise<void>;
  /**
   * Resolves when the dead-letter queue has taken a copy. The message itself stays.
   *
   * @throws MelangeError `CONFIGURATION` when the queue has no dead-letter queue.
   * @throws PublishError when the dead-letter queue did not take it.
   */
  deadLetter(options: DeadLetterOptions): Promise<void>;
}

/** What settling needs. */
export interface ElsewhereSettings {
  readonly sqs: Sqs;
  readonly queues: Queues;
  readonly context: DriverContext;
  readonly deadLetters: DeadLetters;
  readonly visibilities: Visibilities;
  readonly memory: AttemptMemory;
}

/** Messages of one queue that somebody else received. */
export class ReceivedElsewhere {
  /** Name of the queue. */
  readonly queue: string;
  /** Whether the queue keeps the order of its groups. */
  readonly keepsOrder: boolean;
  readonly #settings: ElsewhereSettings;
  #deadLetterQueue: string | undefined;

  /** Made by `SqsBackend.receivedElsewhere`. */
  constructor(queue: string, settings: ElsewhereSettings) {
    this.queue = queue;
    this.keepsOrder = isFifo(queue);
    this.#settings = settings;
  }

  /**
   * Name of the queue's dead-letter queue. Asks SQS until there is one.
   *
   * @throws QueueNotFoundError when the queue does not exist.
   */
  async deadLetterQueue(): Promise<string | undefined> {
    if (this.#deadLetterQueue !== undefined) return this.#deadLetterQueue;
    const { context, queues } = this.#settings;
    const { exists, deadLetterQueue } = await context.ask(this.queue, () => queues.findQueue(this.queue));
    if (!exists) throw new QueueNotFoundError(this.queue);
    this.#deadLetterQueue = deadLetterQueue;
    return deadLetterQueue;
  }

  /** Reads what was received together, in its order. Never throws for what a message is. */
  read(received: readonly ReceivedMessage[]): readonly SqsReceipt[] {
    const receivedAt = this.#settings.context.clock.monotonicNow();
    const groups = new Set<string>();
    return received.map((raw) => {
      const groupId = this.keepsOrder ? raw.Attributes?.MessageGroupId : undefined;
      // It can only have run when all that were before it in its group had left the queue.
      const hasNotRun = groupId !== undefined && groups.has(groupId);
      if (groupId !== undefined) groups.add(groupId);
      return this.#receiptOf(raw, receivedAt, groupId, hasNotRun);
    });
  }

  #receiptOf(
    raw: ReceivedMessage,
    receivedAt: number,
    groupId: string | undefined,
    hasNotRun: boolean,
  ): SqsReceipt {
    const { context, memory, visibilities } = this.#settings;
    const counts = memory.countsOf(raw, hasNotRun);
    return {
      message: fromSqs(raw),
      ...counts,
      groupId,
      delete: async () => {
        await context.ask(this.queue, () => this.#delete(raw));
        memory.forget(raw);
      },
      giveBack: async (delayMs, next) => {
        // Also where the request fails: it comes again when its visibility ends.
        memory.remember(raw, next);
        await context.ask(this.queue, () => visibilities.end({ raw, receivedAt }, delayMs));
      },
      deadLetter: (options) => this.#deadLetter(raw, counts.attempt, options),
    };
  }

  async #delete({ ReceiptHandle }: ReceivedMessage): Promise<void> {
    const { sqs, queues } = this.#settings;
    const [error] = (await sqs.deleteMessages(await queues.urlOf(this.queue), [ReceiptHandle])) ?? [];
    if (error !== undefined && !isLostReceipt(error)) throw error;
  }

  async #deadLetter(raw: ReceivedMessage, attempts: number, options: DeadLetterOptions): Promise<void> {
    const { context, deadLetters } = this.#settings;
    const target = await this.deadLetterQueue();
    if (target === undefined)
      throw new MelangeError(
        'CONFIGURATION',
        `Queue "${this.queue}" has no dead-letter queue: declare it with one.`,
      );
    const circumstances = { queue: this.queue, attempts, at: context.clock.now() };
    await deadLetters.copy(raw, target, deadLetterCopy(fromSqs(raw), options, circumstances));
  }
}
