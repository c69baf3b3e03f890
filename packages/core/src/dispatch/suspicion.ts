import type { Delivery } from '../contract/backend.ts';

/** Bound of the messages whose lost deliveries are remembered. */
const maxRemembered = 1_000;

/** How often a message was redelivered because a process ended, not because a connection was lost. */
export class Suspicion {
  /** How often each message was lost while this process lived on, the oldest entry first. */
  readonly #survived = new Map<string, number>();

  /** Redeliveries of the message, without the losses that this process survived. */
  of({ redeliveries = 0, message }: Delivery): number {
    if (redeliveries === 0) return 0;
    return Math.max(0, redeliveries - (this.#survived.get(message.id) ?? 0));
  }

  /** The delivery was lost, to a reconnect for instance, while this process lived on: that does not make it suspect. */
  survived({ message: { id } }: Delivery): void {
    const times = (this.#survived.get(id) ?? 0) + 1;
    this.#survived.delete(id);
    this.#survived.set(id, times);
    if (this.#survived.size <= maxRemembered) return;
    for (const oldest of this.#survived.keys()) {
      this.#survived.delete(oldest);
      return;
    }
  }
}
