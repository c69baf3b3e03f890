import type { Message as AmqpMessage, Channel } from 'amqplib';

/**
 * Acknowledges the deliveries of one channel, a turn's worth at a time: one frame with `multiple` for the
 * contiguous prefix of finished deliveries, single frames for those that finished ahead of it. Nothing is held
 * longer than the turn, so that the broker's prefetch window never stays full of finished work.
 */
export class Acknowledger {
  readonly #channel: Channel;
  /** Tags that are settled: `true` while their acknowledgement is still to be sent. */
  readonly #settled = new Map<number, boolean>();
  /** Lowest tag that is not settled, or not yet sent. Tags of a channel count up from 1. */
  #next = 1;
  #flushed: Promise<void> | undefined;
  #unsent: number[] = [];

  constructor(channel: Channel) {
    this.#channel = channel;
  }

  /** Whether anything was settled here. */
  get isUsed(): boolean {
    return this.#next > 1 || this.#settled.size > 0;
  }

  /** Resolves when the acknowledgement is written. */
  acknowledge(tag: number): Promise<void> {
    this.#settled.set(tag, true);
    this.#unsent.push(tag);
    this.#flushed ??= new Promise((resolve) => {
      setImmediate(() => {
        this.flush();
        resolve();
      });
    });
    return this.#flushed;
  }

  /** Gives the delivery back to its queue. */
  giveBack(tag: number): void {
    this.#refuse(tag, true);
  }

  /** Has the broker dead-letter the delivery itself. */
  reject(tag: number): void {
    this.#refuse(tag, false);
  }

  #refuse(tag: number, requeue: boolean): void {
    this.#settled.set(tag, false);
    quietly(() => this.#channel.nack(deliveryOf(tag), false, requeue));
    // Here too: a consumer that only gives back would remember every tag.
    while (this.#settled.get(this.#next) === false) {
      this.#settled.delete(this.#next);
      this.#next += 1;
    }
  }

  /** Sends what waits. */
  flush(): void {
    this.#flushed = undefined;
    let last: number | undefined;
    for (
      let unsent = this.#settled.get(this.#next);
      unsent !== undefined;
      unsent = this.#settled.get(this.#next)
    ) {
      if (unsent) last = this.#next;
      this.#settled.delete(this.#next);
      this.#next += 1;
    }
    if (last !== undefined) quietly(() => this.#channel.ack(deliveryOf(last), true));
    for (const tag of this.#unsent) {
      if (this.#settled.get(tag) !== true) continue;
      this.#settled.set(tag, false);
      quietly(() => this.#channel.ack(deliveryOf(tag)));
    }
    this.#unsent = [];
  }
}

/** amqplib reads nothing else of a message to settle it. */
function deliveryOf(deliveryTag: number): AmqpMessage {
  return { fields: { deliveryTag } } as unknown as AmqpMessage;
}

/** On a channel that is gone a settlement means nothing: the broker has taken the delivery back. */
function quietly(send: () => void): void {
  try {
    send();
  } catch (error) {
    if (!(error instanceof Error && error.name === 'IllegalOperationError')) throw error;
  }
}
