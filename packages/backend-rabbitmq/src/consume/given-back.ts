import type { Received } from '../wire/received-message.ts';

/** So many messages are remembered: those that were given back first are forgotten first. */
const maxRemembered = 10_000;

/**
 * How often this process gave messages back: the broker counts that as it counts a process that ended, and the message is
 * not to blame for it. What other processes gave back is not known here.
 */
export class GivenBack {
  readonly #times = new Map<string, number>();

  /** The message goes back to the queue now. */
  add(queue: string, { message }: Received): void {
    const key = keyOf(queue, message.id);
    const times = (this.#times.get(key) ?? 0) + 1;
    // Behind the others, which are forgotten before it.
    this.#times.delete(key);
    this.#times.set(key, times);
    if (this.#times.size <= maxRemembered) return;
    for (const oldest of this.#times.keys()) {
      this.#times.delete(oldest);
      break;
    }
  }

  /** Redeliveries of the message that this process did not cause. */
  redeliveriesOf(queue: string, { message, redeliveries }: Received): number {
    if (redeliveries === 0 || this.#times.size === 0) return redeliveries;
    return Math.max(0, redeliveries - (this.#times.get(keyOf(queue, message.id)) ?? 0));
  }

  /** The message leaves the queue. */
  forget(queue: string, { message }: Received): void {
    if (this.#times.size > 0) this.#times.delete(keyOf(queue, message.id));
  }
}

function keyOf(queue: string, messageId: string): string {
  return `${queue}\n${messageId}`;
}
