import type { DeadLetterOptions, Message } from '@melange/core';
import { isFifo } from '../topology/names.ts';
import { fromSqs, type ReceivedMessage as ReadMessage } from '../wire/message.ts';
import type { AttemptMemory, Counts } from './attempt-memory.ts';
import type { DeadLetters } from './dead-letters.ts';
import { Lease, type LeaseRequests } from './lease.ts';

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

/** Messages of one queue that somebody else received. */
export class ReceivedElsewhere {
  /** Name of the queue. */
  readonly queue: string;
  readonly #requests: () => Promise<LeaseRequests>;
  readonly #deadLetters: DeadLetters;
  readonly #memory: AttemptMemory;

  /** Made by `SqsBackend.receivedElsewhere`. */
  constructor(
    queue: string,
    requests: () => Promise<LeaseRequests>,
    deadLetters: DeadLetters,
    memory: AttemptMemory,
  ) {
    this.queue = queue;
    this.#requests = requests;
    this.#deadLetters = deadLetters;
    this.#memory = memory;
  }

  /** Whether the queue keeps the order of its groups. */
  get keepsOrder(): boolean {
    return isFifo(this.queue);
  }

  /** Name of the queue's dead-letter queue. Asks SQS until there is one. @throws QueueNotFoundError */
  deadLetterQueue(): Promise<string | undefined> {
    return this.#deadLetters.targetName();
  }

  /** Reads what was received together, in its order. Never throws for what a message is. */
  read(received: readonly ReceivedMessage[]): readonly SqsReceipt[] {
    const groups = new Set<string>();
    return received.map((message) => {
      const groupId = this.keepsOrder ? message.Attributes?.MessageGroupId : undefined;
      // It can only have run when all that were before it in its group had left the queue.
      const hasNotRun = groupId !== undefined && groups.has(groupId);
      if (groupId !== undefined) groups.add(groupId);
      return this.#receiptOf(message, groupId, this.#memory.countsOf(message, hasNotRun));
    });
  }

  #receiptOf(received: ReceivedMessage, groupId: string | undefined, counts: Counts): SqsReceipt {
    const since = performance.now();
    const lease = async () =>
      new Lease(received.ReceiptHandle, await this.#requests(), since, () => undefined);
    return {
      message: fromSqs(received),
      ...counts,
      groupId,
      delete: async () => {
        const deleted = (await lease()).delete();
        // Others are not waited for: few are deleted here.
        (await this.#requests()).deletes.flush();
        await deleted;
        this.#memory.forget(received);
      },
      giveBack: async (delayMs, next) => {
        // Also where the request fails: it comes again when its visibility ends.
        this.#memory.remember(received, next);
        await (await lease()).giveBack(Math.ceil(delayMs / 1_000));
      },
      deadLetter: async (options) => {
        await this.#deadLetters.assertTarget();
        await this.#deadLetters.copy({ received, counts }, options);
      },
    };
  }
}
