// Not the global one: tests of applications fake it.
import { setImmediate } from 'node:timers';
import type { Clock } from '@melange/core';
import type { AmqpMessage, Channel } from '../client/connection.ts';

/** While a channel drains: pauses before what is finished is told, and before the rest is, in ms. */
const drainEveryMs = 20;
const maxHeldMs = 1_000;

/**
 * Settles the deliveries of one channel, a turn's worth at a time: one frame with `multiple` for the
 * contiguous prefix of finished deliveries, single frames for those that finished ahead of it. Nothing is held
 * longer than the turn, so that the broker's prefetch window never stays full of finished work.
 *
 * RabbitMQ hands at most 32 settlements of a channel at a time to a quorum queue and keeps the others for later
 * (`rabbit_fifo_client`, its soft limit). A channel that closes takes those with it, and what they settled is
 * delivered again, finished or not. A channel that drains, to be closed, therefore settles in as few frames as it can.
 */
export class Acknowledger {
  readonly #channel: Channel;
  readonly #clock: Clock;
  /** Tags that are settled: `true` while their acknowledgement is still to be sent. */
  readonly #settled = new Map<number, boolean>();
  /** Lowest tag that is not settled, or not yet sent. Tags of a channel count up from 1. */
  #next = 1;
  #sent: Promise<void> | undefined;
  #unsent: number[] = [];
  #returned: number[] = [];
  /** What settlements wait for while the channel drains. */
  #quiet: Promise<void> | undefined;
  #cancelHeld: (() => void) | undefined;

  constructor(channel: Channel, clock: Clock) {
    this.#channel = channel;
    this.#clock = clock;
  }

  /** Resolves when the acknowledgement is written, at the end of the turn; while the channel drains, when it is next in line to be. */
  acknowledge(tag: number): Promise<void> {
    this.#settled.set(tag, true);
    this.#unsent.push(tag);
    this.#sent ??= new Promise((resolve) => {
      const send = (): void => {
        this.#sent = undefined;
        if (this.#quiet === undefined) this.flush();
        else {
          this.#acknowledgePrefix();
          this.#hold();
        }
        resolve();
      };
      if (this.#quiet === undefined) setImmediate(send);
      else void this.#quiet.then(() => this.#clock.schedule(send, drainEveryMs));
    });
    return this.#sent;
  }

  /** Gives the delivery back to its queue. */
  giveBack(tag: number): void {
    if (this.#quiet === undefined) {
      this.#refuse(tag, true);
      return;
    }
    this.#returned.push(tag);
    this.#hold();
  }

  /** Has the broker dead-letter the delivery itself. */
  reject(tag: number): void {
    this.#refuse(tag, false);
  }

  /**
   * From now on deliveries are settled in few frames, the last of them by `flush`.
   *
   * @param quiet resolves when the broker has worked off what was settled until now, and delivers no more.
   */
  drain(quiet: Promise<void>): void {
    this.#quiet = quiet;
  }

  /** Sends all that waits. */
  flush(): void {
    this.#cancelHeld?.();
    this.#cancelHeld = undefined;
    this.#acknowledgePrefix();
    for (const tag of this.#unsent) {
      if (this.#settled.get(tag) !== true) continue;
      this.#settled.set(tag, false);
      quietly(() => this.#channel.ack(deliveryOf(tag)));
    }
    this.#unsent = [];
    for (const tag of this.#returned) this.#refuse(tag, true);
    this.#returned = [];
  }

  /** A handler that takes its time must not keep the others' deliveries from the broker. */
  #hold(): void {
    this.#cancelHeld ??= this.#clock.schedule(() => this.flush(), maxHeldMs);
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

  #acknowledgePrefix(): void {
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
