import type { DeadLetterOptions, MaybePromise, Message } from '@melange/core';

/** How a message comes again. */
export interface Again {
  /** Pause in ms. */
  readonly delayMs: number;
  /** As `Delivery.attempt` then. */
  readonly attempt: number;
  /** As `Delivery.redeliveries` then. */
  readonly redeliveries: number;
}

/** A message of an event. It comes again unless Lambda is told that it is done. */
export interface Arrival {
  readonly message: Message;
  /** As `Delivery.attempt`. */
  readonly attempt: number;
  /** As `Delivery.redeliveries`. */
  readonly redeliveries: number;
  /** Messages of one lane run one at a time, in their order. `undefined`: it has none. */
  readonly lane: string | undefined;
  /** When one of a group is given back, those behind it are too: they would come again anyway, or overtake it. */
  readonly group: string | undefined;
  /** Whether a retry waits within the invocation, for the event source knows no delay. */
  readonly retriesHere: boolean;
  /** Its work is done, and the response will say so. */
  acknowledge(): MaybePromise<void>;
  /** Resolves when the dead-letter queue has taken a copy. */
  deadLetter(options: DeadLetterOptions): Promise<void>;
  /** The response will say that it is not done; tells the broker when it is to come again, where it can. */
  giveBack(again: Again): Promise<void>;
}
