import { type ReceivedMessage, receivesOf } from '../wire/message.ts';

/** What a delivery says of the past of its message. */
export interface Counts {
  /** 1 + the runs that failed before. */
  readonly attempt: number;
  /** Receives that nobody here saw settled, up to `maxRedeliveries`. */
  readonly redeliveries: number;
}

/**
 * What is told at most of the receives that this process knows nothing of: enough for the dispatcher to run the message
 * alone, after those that it suspects less. Some of them may have been failures elsewhere, which `attempt` counts
 * already: more than this would have a message that only fails taken for one that ends its process.
 */
const maxRedeliveries = 10;

/** Most messages that one queue's memory knows. */
const maxMessages = 20_000;

interface Known extends Counts {
  /** Receives that SQS had counted when the message went back. */
  readonly receives: number;
}

/**
 * Corrects SQS's count of receives, which knows neither why a message came back nor whether it ran: for what this process
 * gave back it is known here. All other receives count as attempts, as SQS cannot tell a failure from a crash.
 */
export class AttemptMemory {
  /** By the id that SQS gave. The message that went back longest ago is forgotten first. */
  readonly #known = new Map<string, Known>();

  /**
   * What the delivery of a message says that was just received.
   *
   * @param hasNotRun whether none of the receives that this process knows nothing of can have been a run.
   */
  countsOf(received: ReceivedMessage, hasNotRun = false): Counts {
    const receives = receivesOf(received);
    const known = this.#known.get(received.MessageId ?? '');
    // Where SQS counts from the beginning again, the message was moved.
    if (known === undefined || receives <= known.receives) {
      if (hasNotRun) return { attempt: 1, redeliveries: 0 };
      return { attempt: receives, redeliveries: Math.min(receives - 1, maxRedeliveries) };
    }
    const elsewhere = hasNotRun ? 0 : receives - known.receives - 1;
    return {
      attempt: known.attempt + elsewhere,
      redeliveries: Math.min(known.redeliveries + elsewhere, maxRedeliveries),
    };
  }

  /** The message goes back: its next receive is to say this. */
  remember(received: ReceivedMessage, next: Counts): void {
    const { MessageId } = received;
    if (MessageId === undefined) return;
    this.#known.delete(MessageId);
    this.#known.set(MessageId, { ...next, receives: receivesOf(received) });
    if (this.#known.size <= maxMessages) return;
    const [oldest] = this.#known.keys();
    this.#known.delete(oldest as string);
  }

  /** The message has left the queue. */
  forget({ MessageId = '' }: ReceivedMessage): void {
    this.#known.delete(MessageId);
  }
}
