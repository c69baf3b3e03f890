import type { Clock } from '@melange/core';
import type { Channels } from './channels.ts';

/** A delay queue that nobody used for so long, after its delay, is removed by the broker. */
const idleMs = 86_400_000;
/** How long a delay queue is trusted to exist and not to expire: far less than it takes to expire. */
const trustedMs = 3_600_000;
/** The broker keeps durations in 32 bits. */
const longestDelayMs = 4_294_967_295 - idleMs;
/** What is added to the name of a queue for the longest of delays. */
export const longestDelaySuffix: string = `.delay.${longestDelayMs}`;

/**
 * RabbitMQ 4 drops the message of a quorum queue at its 21st delivery unless told otherwise, and shutdowns count.
 * No limit at all cannot be said to 3.10 and 4 in the same words. A policy may set a lower one.
 */
export const unlimitedDeliveries = 1_000_000_000;

interface Prepared {
  /** Of the monotonic clock, in ms. */
  readonly at: number;
  readonly done: Promise<string>;
}

/**
 * The queues in which messages wait for their time, one for each target and delay, for a message leaves a queue
 * only from its head. Delays are rounded up by a tenth at most, so that jitter does not make a queue for
 * each message.
 */
export class DelayQueues {
  readonly #channels: Pick<Channels, 'use'>;
  readonly #clock: Clock;
  readonly #prepared = new Map<string, Prepared>();

  constructor(channels: Pick<Channels, 'use'>, clock: Clock) {
    this.#channels = channels;
    this.#clock = clock;
  }

  /** Name of the queue in which messages wait `delayMs` for `queue`; it exists, and will for a day at least. */
  async prepare(queue: string, delayMs: number): Promise<string> {
    const rounded = Math.min(roundUpDelay(delayMs), longestDelayMs);
    const name = `${queue}.delay.${rounded}`;
    const known = this.#prepared.get(name);
    if (known !== undefined && this.#clock.monotonicNow() - known.at < trustedMs) return known.done;
    const done = this.#renew(name, delayArguments(queue, rounded)).then(() => name);
    this.#prepared.set(name, { at: this.#clock.monotonicNow(), done });
    try {
      return await done;
    } catch (error) {
      if (this.#prepared.get(name)?.done === done) this.#prepared.delete(name);
      throw error;
    }
  }

  /** The queue turned out to be gone. */
  forget(name: string): void {
    this.#prepared.delete(name);
  }

  /** Delay queues of `queue` that were used here. */
  namesOf(queue: string): readonly string[] {
    return [...this.#prepared.keys()].filter(
      (name) => /^\d+$/.test(name.slice(`${queue}.delay.`.length)) && name.startsWith(`${queue}.delay.`),
    );
  }

  /**
   * Publishing to a queue does not put off its expiry, and neither does declaring it again where it is a quorum
   * queue: it would be removed with the messages in it. Asking for a message does, and the message goes back.
   */
  #renew(name: string, settings: object): Promise<void> {
    return this.#channels.use(async (channel) => {
      await channel.assertQueue(name, { durable: true, arguments: settings });
      const head = await channel.get(name);
      if (head !== false) channel.nack(head, false, true);
    }, `queue "${name}"`);
  }
}

/** The delay in ms, rounded up to two digits of steps that grow with it: 1,234 becomes 1,300, 9,100 becomes 9,500. */
export function roundUpDelay(delayMs: number): number {
  const unit = 10 ** Math.max(0, Math.floor(Math.log10(Math.max(1, delayMs))) - 1);
  const digits = Math.ceil(delayMs / unit);
  const step = digits <= 20 ? 1 : digits <= 50 ? 2 : 5;
  return Math.ceil(digits / step) * step * unit;
}

/**
 * Always a quorum queue, whatever its target is. It keeps an expired message until the target has confirmed it. A
 * classic queue hands over without asking: after a restart of the broker it does so before a quorum target has
 * elected its leader, and everything that fell due meanwhile is lost.
 */
function delayArguments(queue: string, delayMs: number): object {
  return {
    'x-queue-type': 'quorum',
    'x-message-ttl': delayMs,
    'x-expires': delayMs + idleMs,
    'x-dead-letter-exchange': '',
    'x-dead-letter-routing-key': queue,
    'x-dead-letter-strategy': 'at-least-once',
    // The strategy needs this overflow behaviour.
    'x-overflow': 'reject-publish',
    // Renewing must never count a message out before its time.
    'x-delivery-limit': unlimitedDeliveries,
  };
}
